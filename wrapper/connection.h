/* Connection: capabilities as 64 bits, whatever the header stores. */

/* What the kernel offers. */
static inline uint64_t fuse3_conn_capable(const struct fuse_conn_info *conn)
{
#ifdef FUSE3_HAVE_WANT_EXT
	return conn->capable_ext | conn->capable;
#else
	return conn->capable;
#endif
}

/* What is asked for so far. */
static inline uint64_t fuse3_conn_want(const struct fuse_conn_info *conn)
{
#ifdef FUSE3_HAVE_WANT_EXT
	return conn->want_ext | conn->want;
#else
	return conn->want;
#endif
}

/*
 * `conn` must be the pointer that init() was given: from 3.17.3 libfuse finds
 * the session from its address.
 */
static inline int shim_fuse_set_feature_flag(struct fuse_conn_info *conn, uint64_t flag)
{
#ifdef FUSE3_HAVE_FEATURE_FLAGS
	return fuse_set_feature_flag(conn, flag);
#else
	if ((conn->capable & flag) != flag)
		return 0;
	conn->want |= (uint32_t)flag;
	return 1;
#endif
}

static inline void shim_fuse_unset_feature_flag(struct fuse_conn_info *conn, uint64_t flag)
{
#ifdef FUSE3_HAVE_FEATURE_FLAGS
	fuse_unset_feature_flag(conn, flag);
#else
	conn->want &= ~(uint32_t)flag;
#endif
}

static inline int shim_fuse_get_feature_flag(struct fuse_conn_info *conn, uint64_t flag)
{
#ifdef FUSE3_HAVE_FEATURE_FLAGS
	return fuse_get_feature_flag(conn, flag);
#else
	return (conn->want & flag) == flag;
#endif
}
