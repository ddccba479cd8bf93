/* High-level API (fuse.h): macros and inlines in one libfuse or another. */

/* A macro, which passes the size of the table that it was compiled with. */
static inline int shim_fuse_main(int argc, char *argv[], const struct fuse_operations *op,
				 void *private_data)
{
	return fuse_main(argc, argv, op, private_data);
}

/* A function or one of several macros, by API version and build options. */
static inline struct fuse *shim_fuse_new(struct fuse_args *args, const struct fuse_operations *op,
					 size_t op_size, void *private_data)
{
	return fuse_new(args, op, op_size, private_data);
}

/* The same. */
static inline int shim_fuse_loop_mt(struct fuse *f, struct fuse_loop_config *config)
{
	return fuse_loop_mt(f, config);
}
