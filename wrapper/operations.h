/* Operations that not every header has. */

/*
 * fuse3_ops_set_X() puts a handler into the slot X and returns 1, or returns 0
 * when the header does not know it: no request for it will ever arrive.
 */
static inline int
fuse3_ops_set_tmpfile(struct fuse_lowlevel_ops *ops,
		      void (*handler)(fuse_req_t req, fuse_ino_t parent, mode_t mode,
				      struct fuse_file_info *fi))
{
#ifdef FUSE3_HAVE_TMPFILE
	ops->tmpfile = handler;
	return 1;
#else
	(void)ops, (void)handler;
	return 0;
#endif
}

static inline int
fuse3_ops_set_statx(struct fuse_lowlevel_ops *ops,
		    void (*handler)(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
				    struct fuse_file_info *fi))
{
#ifdef FUSE3_HAVE_STATX
	ops->statx = handler;
	return 1;
#else
	(void)ops, (void)handler;
	return 0;
#endif
}

static inline int
fuse3_ops_set_syncfs(struct fuse_lowlevel_ops *ops,
		     void (*handler)(fuse_req_t req, fuse_ino_t ino))
{
#ifdef FUSE3_HAVE_SYNCFS
	ops->syncfs = handler;
	return 1;
#else
	(void)ops, (void)handler;
	return 0;
#endif
}

/*
 * The answer of the slot statx: `statx` is a struct statx. Where there is no
 * such slot, nobody has such a request.
 */
static inline int fuse3_reply_statx(fuse_req_t req, int flags, void *statx,
				    double attr_timeout)
{
#ifdef FUSE3_HAVE_STATX
	return fuse_reply_statx(req, flags, statx, attr_timeout);
#else
	(void)flags, (void)statx, (void)attr_timeout;
	return fuse_reply_err(req, ENOSYS);
#endif
}
