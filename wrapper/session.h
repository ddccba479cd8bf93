/* Session: macros and inlines in one libfuse or another. */

/* A function up to 3.16, from 3.17 a macro that passes the header's version. */
static inline struct fuse_session *
shim_fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op,
		      size_t op_size, void *userdata)
{
	return fuse_session_new(args, op, op_size, userdata);
}

/* To become a macro for API 319. */
static inline int shim_fuse_session_loop(struct fuse_session *se)
{
	return fuse_session_loop(se);
}

/* A function or one of three macros, by API version and build options. */
static inline int shim_fuse_session_loop_mt(struct fuse_session *se,
					    struct fuse_loop_config *config)
{
	return fuse_session_loop_mt(se, config);
}

/* The same. */
static inline int shim_fuse_parse_cmdline(struct fuse_args *args,
					  struct fuse_cmdline_opts *opts)
{
	return fuse_parse_cmdline(args, opts);
}

#ifndef FUSE3_HAVE_LOOP_CFG
/*
 * Before 3.12 struct fuse_loop_config is public and has no thread limit:
 * fuse_loop_cfg_set_max_threads() has nothing to set there, libfuse starts as
 * many workers as there are requests at once.
 */
static inline struct fuse_loop_config *shim_fuse_loop_cfg_create(void)
{
	struct fuse_loop_config *config = calloc(1, sizeof(*config));

	if (config)
		config->max_idle_threads = INT_MAX; /* they stay, the default from 3.12 on; it becomes an int */
	return config;
}

static inline void shim_fuse_loop_cfg_destroy(struct fuse_loop_config *config)
{
	free(config);
}

static inline void shim_fuse_loop_cfg_set_idle_threads(struct fuse_loop_config *config,
						       unsigned int value)
{
	/* With 0 the last worker would end, too. */
	if (value < 1)
		value = 1;
	config->max_idle_threads = value < INT_MAX ? value : INT_MAX;
}

static inline void shim_fuse_loop_cfg_set_max_threads(struct fuse_loop_config *config,
						      unsigned int value)
{
	(void)config;
	(void)value;
}

static inline void shim_fuse_loop_cfg_set_clone_fd(struct fuse_loop_config *config,
						   unsigned int value)
{
	config->clone_fd = value;
}
#endif

#ifndef FUSE3_HAVE_CUSTOM_IO
struct fuse_custom_io; /* never complete here: there is no such function */
#endif

/* Three arguments up to 3.16, four from 3.17, absent before 3.13. */
static inline int shim_fuse_session_custom_io(struct fuse_session *se,
					      const struct fuse_custom_io *io,
					      size_t op_size, int fd)
{
#if defined(FUSE3_HAVE_CUSTOM_IO_317)
	return fuse_session_custom_io_317(se, io, op_size, fd);
#elif defined(FUSE3_HAVE_CUSTOM_IO)
	(void)op_size;
	return fuse_session_custom_io(se, io, fd);
#else
	(void)se, (void)io, (void)op_size, (void)fd;
	return -ENOTSUP;
#endif
}
