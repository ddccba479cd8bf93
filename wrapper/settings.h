/* Members of struct fuse_conn_info that not every header has. */

/*
 * fuse3_conn_get_X() returns the member X, or -1 when the header does not know
 * it. fuse3_conn_set_X() returns 1, or 0 when the header does not know it.
 */
#define FUSE3_CONN_MEMBER(member)                                                      \
	static inline int64_t fuse3_conn_get_##member(const struct fuse_conn_info *conn)   \
	{                                                                                  \
		return conn->member;                                                       \
	}                                                                                  \
	static inline int fuse3_conn_set_##member(struct fuse_conn_info *conn,             \
						  uint32_t value)                          \
	{                                                                                  \
		conn->member = value;                                                      \
		return 1;                                                                  \
	}
#define FUSE3_CONN_NO_MEMBER(member)                                                   \
	static inline int64_t fuse3_conn_get_##member(const struct fuse_conn_info *conn)   \
	{                                                                                  \
		(void)conn;                                                                \
		return -1;                                                                 \
	}                                                                                  \
	static inline int fuse3_conn_set_##member(struct fuse_conn_info *conn,             \
						  uint32_t value)                          \
	{                                                                                  \
		(void)conn, (void)value;                                                   \
		return 0;                                                                  \
	}

FUSE3_CONN_MEMBER(proto_major)
FUSE3_CONN_MEMBER(proto_minor)
FUSE3_CONN_MEMBER(max_write)
FUSE3_CONN_MEMBER(max_readahead)
FUSE3_CONN_MEMBER(max_background)
FUSE3_CONN_MEMBER(congestion_threshold)
FUSE3_CONN_MEMBER(time_gran)
#ifdef FUSE3_HAVE_PASSTHROUGH
FUSE3_CONN_MEMBER(max_backing_stack_depth)
#else
FUSE3_CONN_NO_MEMBER(max_backing_stack_depth)
#endif
#ifdef FUSE3_HAVE_NO_INTERRUPT
FUSE3_CONN_MEMBER(no_interrupt)
#else
FUSE3_CONN_NO_MEMBER(no_interrupt)
#endif
#ifdef FUSE3_HAVE_REQUEST_TIMEOUT
FUSE3_CONN_MEMBER(request_timeout)
#else
FUSE3_CONN_NO_MEMBER(request_timeout)
#endif

#undef FUSE3_CONN_MEMBER
#undef FUSE3_CONN_NO_MEMBER

/* Writes of more than 256 pages, with a kernel that allows them; before 3.17.2 libfuse's own buffer was the limit. */
static inline int fuse3_has_large_writes(void)
{
#ifdef FUSE3_HAVE_BUF_MEM_SIZE
	return 1;
#else
	return 0;
#endif
}
