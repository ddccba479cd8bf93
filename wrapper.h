/*
 * What fuse3-sys binds: libfuse's low-level headers, and below them the
 * "shim", static inline functions for what bindgen cannot serve (macros,
 * inline functions, va_list) or what differs from one libfuse to the next.
 *
 * build.rs defines FUSE_USE_VERSION and one FUSE3_HAVE_* per feature it found
 * in the headers. A function called shim_X is exported as X (shim.rs), with the
 * same signature whatever the libfuse version. Functions called fuse3_X exist
 * in no libfuse.
 */
#ifndef FUSE3_SYS_WRAPPER_H
#define FUSE3_SYS_WRAPPER_H

#include <fuse_lowlevel.h>
#include <cuse_lowlevel.h>
#include <fuse_opt.h>
#include <fuse_log.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* bindgen evaluates no macro that calls another. */
enum { fuse3_header_version = FUSE_VERSION };

/* ---- Session: macros and inlines in one libfuse or another ---- */

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

/* ---- CUSE: functions up to 3.18, macros and inlines after it ---- */

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

/* ---- Connection: capabilities as 64 bits, whatever the header stores ---- */

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

/* ---- Operations that not every header has ---- */

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

/* The FUSE_CAP_* that this header knows and whose libfuse tells the kernel of them, or heeds them itself. */
static inline uint64_t fuse3_known_capabilities(void)
{
	uint64_t known = FUSE_CAP_ASYNC_READ | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_ATOMIC_O_TRUNC |
		FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK | FUSE_CAP_SPLICE_WRITE |
		FUSE_CAP_SPLICE_MOVE | FUSE_CAP_SPLICE_READ | FUSE_CAP_FLOCK_LOCKS |
		FUSE_CAP_IOCTL_DIR | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS |
		FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO | FUSE_CAP_WRITEBACK_CACHE |
		FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS |
		FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_EXPLICIT_INVAL_DATA;

#ifndef __GLIBC__
	/* The loop ends its workers by pthread_cancel(). musl's splice() does not heed that: the end of the session would
	 * wait for the next request. */
	known &= ~(uint64_t)FUSE_CAP_SPLICE_READ;
#endif
#ifdef FUSE3_HAVE_WANT_EXT
	/* Older ones set these by default and send neither. */
	known |= FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_HANDLE_KILLPRIV;
#endif
#ifdef FUSE_CAP_EXPIRE_ONLY
	known |= FUSE_CAP_EXPIRE_ONLY;
#endif
#ifdef FUSE_CAP_SETXATTR_EXT
	known |= FUSE_CAP_SETXATTR_EXT;
#endif
#if defined(FUSE_CAP_HANDLE_KILLPRIV_V2) && defined(FUSE3_HAVE_KILL_SUIDGID)
	/* Without the bit in struct fuse_file_info nobody knows when to drop them. */
	known |= FUSE_CAP_HANDLE_KILLPRIV_V2;
#endif
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	known |= FUSE_CAP_DIRECT_IO_ALLOW_MMAP;
#endif
#ifdef FUSE_CAP_PASSTHROUGH
	known |= FUSE_CAP_PASSTHROUGH;
#endif
#ifdef FUSE_CAP_NO_EXPORT_SUPPORT
	known |= FUSE_CAP_NO_EXPORT_SUPPORT;
#endif
#ifdef FUSE_CAP_OVER_IO_URING
	known |= FUSE_CAP_OVER_IO_URING;
#endif
#ifdef FUSE_CAP_ALLOW_IDMAP
	known |= FUSE_CAP_ALLOW_IDMAP;
#endif
#ifdef FUSE_CAP_SECURITY_CTX
	known |= FUSE_CAP_SECURITY_CTX;
#endif
	return known;
}

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

/* ---- Passthrough: without a request, and with errno ---- */

/* struct fuse_backing_map and its ioctls of linux/fuse.h, which older systems' headers lack. */
struct fuse3_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

/* The id, from 1 on, or a negative errno. `device` is the session's descriptor. */
static inline int fuse3_backing_open(int device, int fd)
{
	struct fuse3_backing_map map = { fd, 0, 0 };
	int id = ioctl(device, _IOW(229, 1, struct fuse3_backing_map), &map);

	return id < 0 ? -errno : id;
}

/* 0 or a negative errno. */
static inline int fuse3_backing_close(int device, int32_t id)
{
	uint32_t closed = id;

	return ioctl(device, _IOW(229, 2, uint32_t), &closed) < 0 ? -errno : 0;
}

/* ---- Requests over io_uring: absent before 3.18 ---- */

static inline bool shim_fuse_req_is_uring(fuse_req_t req)
{
#ifdef FUSE3_HAVE_IO_URING
	return fuse_req_is_uring(req);
#else
	(void)req;
	return false;
#endif
}

/* Negative when the request did not come over io_uring. */
static inline int shim_fuse_req_get_payload(fuse_req_t req, char **payload, size_t *size,
					    void **mr)
{
#ifdef FUSE3_HAVE_IO_URING
	return fuse_req_get_payload(req, payload, size, mr);
#else
	(void)req, (void)payload, (void)size, (void)mr;
	return -ENOTSUP;
#endif
}

/* ---- Security contexts of what is created: absent before 3.19 ---- */

/* How many the request has, or -1 when the header does not know of them. */
static inline int fuse3_req_secctx_count(fuse_req_t req)
{
#ifdef FUSE3_HAVE_SECCTX
	return fuse_req_secctx_count(req);
#else
	(void)req;
	return -1;
#endif
}

/* fuse3_req_secctx_next() begins again. */
static inline void fuse3_req_secctx_reset(fuse_req_t req)
{
#ifdef FUSE3_HAVE_SECCTX
	fuse_req_secctx_reset(req);
#else
	(void)req;
#endif
}

/* 0, and the next one, which lives as long as the request. */
static inline int fuse3_req_secctx_next(fuse_req_t req, const char **name, const void **value,
					uint32_t *size)
{
#ifdef FUSE3_HAVE_SECCTX
	/* The value is bytes or characters, by release. */
	return fuse_req_secctx_next(req, name, (void *)value, size);
#else
	(void)req, (void)name, (void)value, (void)size;
	return -ENOTSUP;
#endif
}

/* ---- The watchdog of the teardown: absent before 3.19 ---- */

static inline int fuse3_has_teardown_watchdog(void)
{
#ifdef FUSE3_HAVE_TEARDOWN_WATCHDOG
	return 1;
#else
	return 0;
#endif
}

/* Once the connection is gone, the process has so many seconds to end the session, or ends with 1. NULL on failure. */
static inline void *fuse3_session_start_teardown_watchdog(struct fuse_session *se,
							  int seconds)
{
#ifdef FUSE3_HAVE_TEARDOWN_WATCHDOG
	return fuse_session_start_teardown_watchdog(se, seconds, NULL, NULL);
#else
	(void)se, (void)seconds;
	return NULL;
#endif
}

static inline void fuse3_session_stop_teardown_watchdog(void *watchdog)
{
#ifdef FUSE3_HAVE_TEARDOWN_WATCHDOG
	fuse_session_stop_teardown_watchdog(watchdog);
#else
	(void)watchdog;
#endif
}

/* ---- Notifications ---- */

/* Five arguments up to 3.16.0, four from 3.16.1, absent before 3.13. */
static inline int shim_fuse_lowlevel_notify_expire_entry(struct fuse_session *se,
							 fuse_ino_t parent,
							 const char *name,
							 size_t namelen)
{
#if defined(FUSE3_HAVE_EXPIRE_ENTRY_FLAGS)
	return fuse_lowlevel_notify_expire_entry(se, parent, name, namelen,
						 FUSE_LL_EXPIRE_ONLY);
#elif defined(FUSE3_HAVE_EXPIRE_ENTRY)
	return fuse_lowlevel_notify_expire_entry(se, parent, name, namelen);
#else
	(void)se, (void)parent, (void)name, (void)namelen;
	return -ENOSYS;
#endif
}

/* ---- Log: a va_list is another thing on each architecture ---- */

typedef void (*fuse3_log_sink_t)(int level, const char *message);

static fuse3_log_sink_t log_sink;

/*
 * libfuse logs from fuse_session_receive_buf() while a worker may be
 * cancelled. The sink is not written in C, and must not be unwound by a
 * cancellation: it is switched off meanwhile.
 */
static void log_adapter(enum fuse_log_level level, const char *format, va_list args)
{
	char message[1024];
	int cancel_state;
	int saved_errno = errno;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	vsnprintf(message, sizeof(message), format, args);
	if (log_sink)
		log_sink(level, message);
	pthread_setcancelstate(cancel_state, NULL);
	errno = saved_errno;
}

/*
 * Sends what libfuse logs to `sink`, formatted and cut at 1023 bytes; with NULL
 * to stderr again. Process-wide, to be called before another thread uses libfuse.
 */
static inline void fuse3_set_log_sink(fuse3_log_sink_t sink)
{
	log_sink = sink;
	fuse_set_log_func(sink ? log_adapter : NULL);
}

/* ---- Bits of struct fuse_file_info: their positions differ ---- */

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
#endif
