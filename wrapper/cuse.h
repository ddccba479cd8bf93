/* CUSE: functions up to 3.18, macros and inlines after it. */

static inline struct fuse_session *shim_cuse_lowlevel_new(struct fuse_args *args,
							  const struct cuse_info *ci,
							  const struct cuse_lowlevel_ops *clop,
							  void *userdata)
{
	return cuse_lowlevel_new(args, ci, clop, userdata);
}

static inline struct fuse_session *
shim_cuse_lowlevel_setup(int argc, char *argv[], const struct cuse_info *ci,
			 const struct cuse_lowlevel_ops *clop, int *multithreaded,
			 void *userdata)
{
	return cuse_lowlevel_setup(argc, argv, ci, clop, multithreaded, userdata);
}

static inline int shim_cuse_lowlevel_main(int argc, char *argv[], const struct cuse_info *ci,
					  const struct cuse_lowlevel_ops *clop, void *userdata)
{
	return cuse_lowlevel_main(argc, argv, ci, clop, userdata);
}
