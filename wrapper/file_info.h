/* Bits of struct fuse_file_info: their positions differ. */

/*
 * fuse3_fi_get_X() returns the bit X, or -1 when the header does not know it.
 * fuse3_fi_set_X() returns 1, or 0 when the header does not know the bit.
 */
#define FUSE3_FI_BIT(bit)                                                        \
	static inline int fuse3_fi_get_##bit(const struct fuse_file_info *fi)    \
	{                                                                        \
		return fi->bit;                                                  \
	}                                                                        \
	static inline int fuse3_fi_set_##bit(struct fuse_file_info *fi, int on)  \
	{                                                                        \
		fi->bit = on != 0;                                               \
		return 1;                                                        \
	}
#define FUSE3_FI_NO_BIT(bit)                                                     \
	static inline int fuse3_fi_get_##bit(const struct fuse_file_info *fi)    \
	{                                                                        \
		(void)fi;                                                        \
		return -1;                                                       \
	}                                                                        \
	static inline int fuse3_fi_set_##bit(struct fuse_file_info *fi, int on)  \
	{                                                                        \
		(void)fi, (void)on;                                              \
		return 0;                                                        \
	}

FUSE3_FI_BIT(writepage)
FUSE3_FI_BIT(direct_io)
FUSE3_FI_BIT(keep_cache)
FUSE3_FI_BIT(flush)
FUSE3_FI_BIT(nonseekable)
FUSE3_FI_BIT(flock_release)
FUSE3_FI_BIT(cache_readdir)
#ifdef FUSE3_HAVE_NOFLUSH
FUSE3_FI_BIT(noflush)
#else
FUSE3_FI_NO_BIT(noflush)
#endif
#ifdef FUSE3_HAVE_PARALLEL_DIRECT_WRITES
FUSE3_FI_BIT(parallel_direct_writes)
#else
FUSE3_FI_NO_BIT(parallel_direct_writes)
#endif
#ifdef FUSE3_HAVE_KILL_SUIDGID
FUSE3_FI_BIT(kill_suidgid)
#else
FUSE3_FI_NO_BIT(kill_suidgid)
#endif

/* Passthrough's backing id; 0 (none) or not settable before 3.17. */
static inline int32_t fuse3_fi_get_backing_id(const struct fuse_file_info *fi)
{
#ifdef FUSE3_HAVE_PASSTHROUGH
	return fi->backing_id;
#else
	(void)fi;
	return 0;
#endif
}

static inline int fuse3_fi_set_backing_id(struct fuse_file_info *fi, int32_t id)
{
#ifdef FUSE3_HAVE_PASSTHROUGH
	fi->backing_id = id;
	return 1;
#else
	(void)fi, (void)id;
	return 0;
#endif
}

#undef FUSE3_FI_BIT
#undef FUSE3_FI_NO_BIT
