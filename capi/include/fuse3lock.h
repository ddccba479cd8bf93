/*
 * fuse3lock: python-llfuse's global lock around the handlers of a C file system,
 * on the worker threads of libfuse 3's own loop.
 *
 *	static struct fuse3lock *lock_of(void *userdata)
 *	{
 *		return ((struct my_fs *)userdata)->lock;
 *	}
 *	FUSE3LOCK_OPS(my_locked_ops, my_ops, lock_of);
 *	..
 *	fs.lock = fuse3lock_new();
 *	struct fuse_lowlevel_ops ops = my_locked_ops();
 *	se = fuse_session_new(&args, &ops, sizeof(ops), &fs);
 *	fuse_session_mount(se, mountpoint);
 *	result = fuse3lock_run(fs.lock, se, 30, 0);
 *	fuse_session_unmount(se);
 *	fuse_session_destroy(se);
 *	fuse3lock_free(fs.lock);
 *
 * The program calls libfuse itself, with its own headers. The table of handlers
 * that take the lock is made by a macro in the program, which is compiled with
 * those headers, too. So no structure of libfuse crosses the border to this
 * library, whose binary knows a fuse_session by its address alone; and requests
 * come from fuse_session_loop_mt(), with all that it can do. (A loop of its own,
 * around fuse_session_receive_buf() and fuse_session_process_buf(), would need
 * the layout of struct fuse_buf, and to find the opcode of requests that may be
 * in a pipe; it would hold the lock over INTERRUPT or know the protocol, and
 * have neither clone_fd nor io_uring. fuse_session_custom_io() is compiled out
 * of libfuse 3.18.3, and has no hook after a request.)
 *
 * ERRORS. Functions return a negative errno, and change nothing then, unless they
 * say otherwise. Each returns -EINVAL where the lock, or another pointer that may
 * not be, is NULL. -ENOTRECOVERABLE is a bug, which stderr tells of: this library's;
 * or, in a debug build of it, the caller's, who would wait for one lock with another
 * one held.
 *
 * THREADS. Functions may be called from any thread, with the lock held or not,
 * unless they say otherwise. In a signal handler only fuse3lock_terminate() may.
 * The lock belongs to the thread that took it, and stays held if that ends. A thread
 * neither calls pthread_exit(3) nor is cancelled in fuse3lock_run() or in what
 * fuse3lock_released() calls: that would be an unwind through Rust, which aborts.
 *
 * One lock serves one session, once. Two sessions have a lock each.
 *
 * SYMBOLS. The shared library exports what is declared here, and nothing else. The
 * static one has other names besides: those of Rust, which are mangled, and some of
 * the form fuse3_*__extern and shim_*__extern. A shared library that it is linked in
 * exports none of them with -Wl,--exclude-libs,libfuse3lock.a.
 *
 * Define FUSE_USE_VERSION before this header, as libfuse's wants it: 35 or more.
 */
#ifndef FUSE3LOCK_H
#define FUSE3LOCK_H

#include <fuse_lowlevel.h>

#if FUSE_USE_VERSION < 35
#error "fuse3lock.h wants a FUSE_USE_VERSION of 35 or more"
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A global lock, and the session whose handlers run with it held. */
struct fuse3lock;

/* ---- The lock ---- */

/*
 * Makes a lock that nobody holds. NULL is a bug of this library; without memory the
 * process is aborted, here as in all functions.
 */
struct fuse3lock *fuse3lock_new(void);

/*
 * Frees it, once the session has been destroyed, and no thread uses it any more.
 * NULL is freed already.
 *
 * -EBUSY: it is held, or its session runs.
 */
int fuse3lock_free(struct fuse3lock *lock);

/* For the time-outs: waits as long as it takes. */
#define FUSE3LOCK_FOREVER INT64_C(-1)

/*
 * llfuse's lock.acquire(timeout): takes the lock, and waits for it so many
 * nanoseconds; with 0 not at all, with less as long as it takes. The clock is
 * the monotonic one. Threads queue first come, first served; a running thread
 * may pass the first of them 16 times.
 *
 * -ETIMEDOUT: another thread held it until then.
 * -EDEADLK: this thread holds it.
 */
int fuse3lock_acquire(struct fuse3lock *lock, int64_t nanoseconds);

/*
 * lock.release(). A handler may do so for good, too: before it replies, say, so
 * that the reply's system call keeps nobody waiting.
 *
 * -EPERM: this thread does not hold it.
 */
int fuse3lock_release(struct fuse3lock *lock);

/*
 * lock.yield_(count): hands the lock to the thread that waits longest, and takes
 * it again behind the last, up to count times or until nobody waits. Returns how
 * often. When nobody waits it returns 0 at once, and the lock was never free.
 *
 * -EPERM: this thread does not hold it.
 */
int fuse3lock_yield(struct fuse3lock *lock, unsigned int count);

/* 1 if this thread holds the lock, else 0. */
int fuse3lock_held(struct fuse3lock *lock);

/*
 * "with lock_released:", as two calls: for what takes long and needs nothing that
 * the lock guards. Look everything up again afterwards.
 *
 *	int section = fuse3lock_released_begin(lock);
 *	data = fetch(..);
 *	fuse3lock_released_end(lock, section);
 *
 * The first returns what the second wants: 0 or more, or -EPERM: this thread does
 * not hold the lock. The second waits for the lock. -EDEADLK: this thread has
 * taken it in between, and keeps it. -EINVAL: no such section.
 */
int fuse3lock_released_begin(struct fuse3lock *lock);
int fuse3lock_released_end(struct fuse3lock *lock, int section);

/*
 * The same around a function, which neither leaves it by longjmp(3) nor throws.
 *
 * -EPERM: this thread does not hold the lock; the function was not called.
 * -EDEADLK: the function has taken the lock, which stays taken.
 */
int fuse3lock_released(struct fuse3lock *lock, void (*function)(void *data), void *data);

/* ---- The session ---- */

/* For fuse3lock_run(): workers have a descriptor of /dev/fuse each, -o clone_fd. */
#define FUSE3LOCK_CLONE_FD 1u

/* What fuse3lock_run(), below, calls, with what tells it the program's libfuse. */
int fuse3lock_run_checked(struct fuse3lock *lock, struct fuse_session *se,
			  unsigned int workers, unsigned int flags,
			  size_t file_info_size, unsigned int file_info_flush,
			  int (*session_fd)(struct fuse_session *se));

/*
 * llfuse's main(workers), fuse_session_loop_mt(): serves requests on at most so
 * many threads of libfuse (llfuse has 30; each released section keeps one; libfuse
 * before 3.12 has no limit), until the file system is unmounted or the session is
 * told to end. This thread waits.
 * When it returns, the workers have ended, handlers in flight have run to their
 * end, and nothing uses the session any more: unmount and destroy it.
 *
 * The session was made by fuse_session_new() with a table of FUSE3LOCK_OPS(), and
 * is mounted. Start threads after fuse_daemonize(), which forks.
 *
 * Returns 0; or the number of the signal, if fuse_set_signal_handlers() was used.
 * Before libfuse 3.18, which needs to be woken, a real-time signal that has no
 * handler gets one meanwhile, and is sent to this thread alone.
 *
 * -EINVAL: no session, no workers, unknown flags.
 * -EDEADLK: this thread holds the lock, which every handler would wait for.
 * -EBUSY: the lock's session runs, or has run, if only until the loop failed.
 * -ELIBBAD: the program was compiled with headers in which struct fuse_file_info
 *	is laid out otherwise than in the libfuse that was loaded (3.14.1 to 3.16.2
 *	differ from 3.14.0 under the same soname): build it again. Or the program and
 *	this library use a libfuse each, or this library was built with one of another
 *	soname.
 * -ENOMEM: no memory for the loop.
 * -EAGAIN: no worker could be started; no timer to wake the loop, before 3.18.
 * -EIO: each real-time signal has a handler, before 3.18.
 * And what reading from /dev/fuse fails with.
 */
static inline int fuse3lock_run(struct fuse3lock *lock, struct fuse_session *se,
				unsigned int workers, unsigned int flags)
{
	struct fuse_file_info fi;
	unsigned int flush;

	memset(&fi, 0, sizeof(fi));
	fi.flush = 1;
	memcpy(&flush, (const char *)&fi + sizeof(fi.flags), sizeof(flush));
	return fuse3lock_run_checked(lock, se, workers, flags, sizeof(fi), flush,
				     fuse_session_fd);
}

/*
 * fuse_session_exit(), but the loop notices at once: makes fuse3lock_run() return,
 * also when it is called before. From any thread, any handler (which goes on), and
 * any signal handler: it takes no lock and allocates nothing, and leaves errno.
 */
int fuse3lock_terminate(struct fuse3lock *lock);

/* ---- Notifications ----
 *
 * fuse_lowlevel_notify_*(), queued: they tell the kernel that what it has cached
 * is out of date. Unlike libfuse's, which wait for whatever the kernel does in
 * the directory or page in question, and so for handlers that wait for the lock,
 * these may be sent with the lock held, and in handlers. They copy what they are
 * given, and return at once.
 *
 * A thread sends them one after the other, from the time on when the session has
 * been initialised. What is queued twice and was not sent yet is sent once. Errors
 * of the kernel are said on stderr, but for ENOENT: it did not know the inode.
 * What has not been sent when the session ends is dropped, as are its caches.
 *
 * All: -ENOTCONN: the session has ended.
 */

/* Attributes of an inode, and bytes of it: 0 for the rest; attributes only with a negative offset. */
int fuse3lock_notify_inval_inode(struct fuse3lock *lock, uint64_t ino,
				 int64_t offset, int64_t length);

/*
 * A name in a directory is to be looked up again.
 *
 * -EINVAL, also of the next two: the name is empty, or has a NUL byte or a slash.
 */
int fuse3lock_notify_inval_entry(struct fuse3lock *lock, uint64_t parent,
				 const char *name, size_t namelen);

/*
 * The same when it is used next: what is mounted below stays. Linux 6.2.
 *
 * -ENOSYS: the kernel cannot. Before init has returned that is not known yet, and
 * said on stderr later. So with each that names a Linux.
 */
int fuse3lock_notify_expire_entry(struct fuse3lock *lock, uint64_t parent,
				  const char *name, size_t namelen);

/* A name is gone, which was that of child; who watches it is told. */
int fuse3lock_notify_delete(struct fuse3lock *lock, uint64_t parent, uint64_t child,
			    const char *name, size_t namelen);

/*
 * Bytes for the page cache.
 *
 * -EINVAL: the offset is below 0.
 */
int fuse3lock_notify_store(struct fuse3lock *lock, uint64_t ino, int64_t offset,
			   const void *data, size_t size);

/* All names are to be looked up again when they are used next. Linux 6.16; -ENOSYS. */
int fuse3lock_notify_increment_epoch(struct fuse3lock *lock);

/* The kernel may forget these inodes, so many, if nobody uses them. Linux 6.18; -ENOSYS. */
int fuse3lock_notify_prune(struct fuse3lock *lock, const uint64_t *inos, size_t count);

/*
 * The kernel sends all requests again that have not been answered, for a server that
 * does not know them; answers to the former ones fail then. Until a handler but
 * init has taken the lock there is nothing to send, and nothing is done: libfuse
 * would refuse a second INIT. Linux 6.9; -ENOSYS.
 */
int fuse3lock_notify_resend(struct fuse3lock *lock);

/*
 * Waits until what was queued before has been sent; the time-out as for
 * fuse3lock_acquire(). Not in a handler, for which the kernel may wait.
 *
 * -EDEADLK: this thread holds the lock. -ETIMEDOUT. -ENOTCONN: the session ended.
 */
int fuse3lock_notify_flush(struct fuse3lock *lock, int64_t nanoseconds);

/* ---- Figures ---- */

enum fuse3lock_stat {
	FUSE3LOCK_ACQUISITIONS, /* how often the lock was taken */
	FUSE3LOCK_HAND_OVERS,	/* how often it was handed to a waiting thread */
	FUSE3LOCK_TIME_OUTS,	/* how often a thread waited in vain */
	FUSE3LOCK_WAITERS,	/* how many threads wait now */
	FUSE3LOCK_HOLDER,	/* the Linux thread id of the holder, 0 for none */
	FUSE3LOCK_HELD_NS	/* how long it has held the lock, nanoseconds */
};

/*
 * One figure of the lock. It does not wait for the lock: "when the mount hangs".
 * Figures are only ever added to the list.
 *
 * -EINVAL: this version of the library does not know the figure.
 */
int fuse3lock_stat(struct fuse3lock *lock, unsigned int what, uint64_t *value);

enum fuse3lock_op_stat {
	FUSE3LOCK_USE_COUNT,	  /* sections that have ended */
	FUSE3LOCK_USE_WAITED_NS,	  /* time waited for the lock, in all .. */
	FUSE3LOCK_USE_WAITED_MAX_NS, /* .. and the longest */
	FUSE3LOCK_USE_HELD_NS,	  /* time held, in all .. */
	FUSE3LOCK_USE_HELD_MAX_NS  /* .. and the longest */
};

/*
 * One figure of a handler, by its name in struct fuse_lowlevel_ops (write_buf
 * counts as write); with NULL, of all that is no handler.
 *
 * -EINVAL: no such handler or figure.
 */
int fuse3lock_op_stat(struct fuse3lock *lock, const char *op, unsigned int what,
		      uint64_t *value);

/*
 * All of it as text, for people: as snprintf(3), it returns the length, and writes
 * as much as there is room for, with a NUL byte.
 *
 * -EOVERFLOW: the length does not fit in an int; the text was written.
 */
int fuse3lock_report(struct fuse3lock *lock, char *buffer, size_t size);

/* The library's version, such as "0.1.0". */
const char *fuse3lock_version(void);

/* ---- Handlers with the lock held ---- */

/* Which handler, for fuse3lock_enter(). Numbers are only ever added. */
enum fuse3lock_op {
	FUSE3LOCK_OP_INIT,
	FUSE3LOCK_OP_DESTROY,
	FUSE3LOCK_OP_LOOKUP,
	FUSE3LOCK_OP_FORGET,
	FUSE3LOCK_OP_GETATTR,
	FUSE3LOCK_OP_SETATTR,
	FUSE3LOCK_OP_READLINK,
	FUSE3LOCK_OP_MKNOD,
	FUSE3LOCK_OP_MKDIR,
	FUSE3LOCK_OP_UNLINK,
	FUSE3LOCK_OP_RMDIR,
	FUSE3LOCK_OP_SYMLINK,
	FUSE3LOCK_OP_RENAME,
	FUSE3LOCK_OP_LINK,
	FUSE3LOCK_OP_OPEN,
	FUSE3LOCK_OP_READ,
	FUSE3LOCK_OP_WRITE,
	FUSE3LOCK_OP_FLUSH,
	FUSE3LOCK_OP_RELEASE,
	FUSE3LOCK_OP_FSYNC,
	FUSE3LOCK_OP_OPENDIR,
	FUSE3LOCK_OP_READDIR,
	FUSE3LOCK_OP_RELEASEDIR,
	FUSE3LOCK_OP_FSYNCDIR,
	FUSE3LOCK_OP_STATFS,
	FUSE3LOCK_OP_SETXATTR,
	FUSE3LOCK_OP_GETXATTR,
	FUSE3LOCK_OP_LISTXATTR,
	FUSE3LOCK_OP_REMOVEXATTR,
	FUSE3LOCK_OP_ACCESS,
	FUSE3LOCK_OP_CREATE,
	FUSE3LOCK_OP_GETLK,
	FUSE3LOCK_OP_SETLK,
	FUSE3LOCK_OP_BMAP,
	FUSE3LOCK_OP_IOCTL,
	FUSE3LOCK_OP_POLL,
	FUSE3LOCK_OP_RETRIEVE_REPLY,
	FUSE3LOCK_OP_FORGET_MULTI,
	FUSE3LOCK_OP_FLOCK,
	FUSE3LOCK_OP_FALLOCATE,
	FUSE3LOCK_OP_READDIRPLUS,
	FUSE3LOCK_OP_COPY_FILE_RANGE,
	FUSE3LOCK_OP_LSEEK,
	FUSE3LOCK_OP_TMPFILE,
	FUSE3LOCK_OP_STATX,
	FUSE3LOCK_OP_SYNCFS,
	FUSE3LOCK_OP_END_
};

/*
 * What FUSE3LOCK_OPS() calls around a handler. enter returns what leave wants, or
 * a negative errno, and then the handler is not called; leave releases the lock
 * if enter took it and the handler has not released it, and takes an errno, too,
 * which it does nothing for. In between the thread cannot be cancelled: libfuse
 * does that to its workers over io_uring. A thread that holds the lock enters, too,
 * and goes on holding it.
 *
 * enter: -EINVAL: no such handler.
 */
int fuse3lock_enter(struct fuse3lock *lock, unsigned int op);
void fuse3lock_leave(struct fuse3lock *lock, int entered);

/*
 * After init, without the lock: what is queued may be sent, to a kernel whose
 * protocol is 7.proto_minor.
 */
void fuse3lock_begun(struct fuse3lock *lock, unsigned int proto_minor);

/*
 * FUSE3LOCK_OPS(name, ops, lock_of);
 *
 * At file scope: defines the function "static struct fuse_lowlevel_ops name(void)".
 * It returns the table ops (a struct fuse_lowlevel_ops, not a pointer) with each
 * of its handlers in a function that takes the lock before and releases it after;
 * init, destroy, forget and retrieve_reply, too. Slots that are NULL stay so, but
 * for init, which begins the notifications.
 *
 * INTERRUPT, for which libfuse has no handler, is not held up by the lock. A function
 * given to fuse_req_interrupt_func() is called inside that, with the lock as it is
 * there, if the interrupt has come before; else on another thread, without the lock.
 * It must not wait for the lock: libfuse's own lock of the request is held around it,
 * and fuse_req_interrupt_func() waits for that one. Before it replies, a handler takes
 * the function back, by fuse_req_interrupt_func(req, NULL, NULL): it might still be
 * called, with data that are gone.
 *
 * lock_of, a function or macro, gets the userdata of the session, and returns the
 * lock. It is called without the lock held, so it reads what never changes.
 *
 * A request for which the lock cannot be taken gets the errno of fuse3lock_enter().
 *
 * A libfuse that has more handlers than this header knows is a compile error here,
 * since they would run without the lock.
 */
#define FUSE3LOCK_REFUSE_(req, error) (void)fuse_reply_err(req, error)
#define FUSE3LOCK_REFUSE_NONE_(req, error) fuse_reply_none(req)
#define FUSE3LOCK_ALL_(...) __VA_ARGS__

#define FUSE3LOCK_HANDLER_(name, ops, lock_of, slot, op, refuse, params, args) \
	static void name##_##slot(fuse_req_t req, FUSE3LOCK_ALL_ params) \
	{ \
		struct fuse3lock *lock_ = lock_of(fuse_req_userdata(req)); \
		int entered_ = fuse3lock_enter(lock_, op); \
		if (entered_ < 0) { \
			refuse(req, -entered_); \
			return; \
		} \
		(ops).slot(req, FUSE3LOCK_ALL_ args); \
		fuse3lock_leave(lock_, entered_); \
	}

#define FUSE3LOCK_SLOT_(name, ops, slot) \
	if ((ops).slot) \
		table_.slot = name##_##slot

#if FUSE_MAJOR_VERSION > 3 || FUSE_MINOR_VERSION >= 17
#define FUSE3LOCK_TMPFILE_(name, ops, lock_of) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, tmpfile, FUSE3LOCK_OP_TMPFILE, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi), (parent, mode, fi))
#define FUSE3LOCK_TMPFILE_SLOT_(name, ops) FUSE3LOCK_SLOT_(name, ops, tmpfile);
#else
#define FUSE3LOCK_TMPFILE_(name, ops, lock_of)
#define FUSE3LOCK_TMPFILE_SLOT_(name, ops)
#endif
#if FUSE_MAJOR_VERSION > 3 || FUSE_MINOR_VERSION >= 18
#define FUSE3LOCK_STATX_(name, ops, lock_of) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, statx, FUSE3LOCK_OP_STATX, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi), (ino, flags, mask, fi))
#define FUSE3LOCK_STATX_SLOT_(name, ops) FUSE3LOCK_SLOT_(name, ops, statx);
#else
#define FUSE3LOCK_STATX_(name, ops, lock_of)
#define FUSE3LOCK_STATX_SLOT_(name, ops)
#endif
#if FUSE_MAJOR_VERSION > 3 || FUSE_MINOR_VERSION >= 19
#define FUSE3LOCK_SYNCFS_(name, ops, lock_of) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, syncfs, FUSE3LOCK_OP_SYNCFS, FUSE3LOCK_REFUSE_, (fuse_ino_t ino), (ino))
#define FUSE3LOCK_SYNCFS_SLOT_(name, ops) FUSE3LOCK_SLOT_(name, ops, syncfs);
#else
#define FUSE3LOCK_SYNCFS_(name, ops, lock_of)
#define FUSE3LOCK_SYNCFS_SLOT_(name, ops)
#endif

#ifdef __cplusplus
#define FUSE3LOCK_ASSERT_(what, why) static_assert(what, why)
#else
#define FUSE3LOCK_ASSERT_(what, why) _Static_assert(what, why)
#endif

/* 44 handlers up to libfuse 3.16, 45 in 3.17, 46 in 3.18, 47 in 3.19. */
#define FUSE3LOCK_SLOTS_ \
	(FUSE_MINOR_VERSION < 17 ? 44u : FUSE_MINOR_VERSION < 19 ? FUSE_MINOR_VERSION + 28u : 47u)

#define FUSE3LOCK_OPS(name, ops, lock_of) \
	FUSE3LOCK_ASSERT_(sizeof(struct fuse_lowlevel_ops) == FUSE3LOCK_SLOTS_ * sizeof(void (*)(void)), \
			  "this libfuse has handlers that fuse3lock.h does not know"); \
	static void name##_init(void *userdata, struct fuse_conn_info *conn) \
	{ \
		struct fuse3lock *lock_ = lock_of(userdata); \
		int entered_ = fuse3lock_enter(lock_, FUSE3LOCK_OP_INIT); \
		if (entered_ >= 0 && (ops).init) \
			(ops).init(userdata, conn); \
		fuse3lock_leave(lock_, entered_); \
		fuse3lock_begun(lock_, conn->proto_minor); \
	} \
	static void name##_destroy(void *userdata) \
	{ \
		struct fuse3lock *lock_ = lock_of(userdata); \
		int entered_ = fuse3lock_enter(lock_, FUSE3LOCK_OP_DESTROY); \
		if (entered_ >= 0) \
			(ops).destroy(userdata); \
		fuse3lock_leave(lock_, entered_); \
	} \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, lookup, FUSE3LOCK_OP_LOOKUP, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry), (parent, entry)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, forget, FUSE3LOCK_OP_FORGET, FUSE3LOCK_REFUSE_NONE_, (fuse_ino_t ino, uint64_t nlookup), (ino, nlookup)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, getattr, FUSE3LOCK_OP_GETATTR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi), (ino, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, setattr, FUSE3LOCK_OP_SETATTR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi), (ino, attr, to_set, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, readlink, FUSE3LOCK_OP_READLINK, FUSE3LOCK_REFUSE_, (fuse_ino_t ino), (ino)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, mknod, FUSE3LOCK_OP_MKNOD, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry, mode_t mode, dev_t rdev), (parent, entry, mode, rdev)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, mkdir, FUSE3LOCK_OP_MKDIR, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry, mode_t mode), (parent, entry, mode)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, unlink, FUSE3LOCK_OP_UNLINK, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry), (parent, entry)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, rmdir, FUSE3LOCK_OP_RMDIR, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry), (parent, entry)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, symlink, FUSE3LOCK_OP_SYMLINK, FUSE3LOCK_REFUSE_, (const char *target, fuse_ino_t parent, const char *entry), (target, parent, entry)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, rename, FUSE3LOCK_OP_RENAME, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry, fuse_ino_t newparent, const char *newentry, unsigned int flags), (parent, entry, newparent, newentry, flags)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, link, FUSE3LOCK_OP_LINK, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, fuse_ino_t newparent, const char *newentry), (ino, newparent, newentry)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, open, FUSE3LOCK_OP_OPEN, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi), (ino, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, read, FUSE3LOCK_OP_READ, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), (ino, size, off, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, write, FUSE3LOCK_OP_WRITE, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi), (ino, buf, size, off, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, flush, FUSE3LOCK_OP_FLUSH, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi), (ino, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, release, FUSE3LOCK_OP_RELEASE, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi), (ino, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, fsync, FUSE3LOCK_OP_FSYNC, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, int datasync, struct fuse_file_info *fi), (ino, datasync, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, opendir, FUSE3LOCK_OP_OPENDIR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi), (ino, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, readdir, FUSE3LOCK_OP_READDIR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), (ino, size, off, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, releasedir, FUSE3LOCK_OP_RELEASEDIR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi), (ino, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, fsyncdir, FUSE3LOCK_OP_FSYNCDIR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, int datasync, struct fuse_file_info *fi), (ino, datasync, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, statfs, FUSE3LOCK_OP_STATFS, FUSE3LOCK_REFUSE_, (fuse_ino_t ino), (ino)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, setxattr, FUSE3LOCK_OP_SETXATTR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, const char *attr, const char *value, size_t size, int flags), (ino, attr, value, size, flags)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, getxattr, FUSE3LOCK_OP_GETXATTR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, const char *attr, size_t size), (ino, attr, size)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, listxattr, FUSE3LOCK_OP_LISTXATTR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, size_t size), (ino, size)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, removexattr, FUSE3LOCK_OP_REMOVEXATTR, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, const char *attr), (ino, attr)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, access, FUSE3LOCK_OP_ACCESS, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, int mask), (ino, mask)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, create, FUSE3LOCK_OP_CREATE, FUSE3LOCK_REFUSE_, (fuse_ino_t parent, const char *entry, mode_t mode, struct fuse_file_info *fi), (parent, entry, mode, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, getlk, FUSE3LOCK_OP_GETLK, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range), (ino, fi, range)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, setlk, FUSE3LOCK_OP_SETLK, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range, int sleep), (ino, fi, range, sleep)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, bmap, FUSE3LOCK_OP_BMAP, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, size_t blocksize, uint64_t idx), (ino, blocksize, idx)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, ioctl, FUSE3LOCK_OP_IOCTL, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_bufsz, size_t out_bufsz), (ino, cmd, arg, fi, flags, in_buf, in_bufsz, out_bufsz)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, poll, FUSE3LOCK_OP_POLL, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph), (ino, fi, ph)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, write_buf, FUSE3LOCK_OP_WRITE, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off, struct fuse_file_info *fi), (ino, bufv, off, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, retrieve_reply, FUSE3LOCK_OP_RETRIEVE_REPLY, FUSE3LOCK_REFUSE_NONE_, (void *cookie, fuse_ino_t ino, off_t offset, struct fuse_bufvec *bufv), (cookie, ino, offset, bufv)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, forget_multi, FUSE3LOCK_OP_FORGET_MULTI, FUSE3LOCK_REFUSE_NONE_, (size_t count, struct fuse_forget_data *forgets), (count, forgets)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, flock, FUSE3LOCK_OP_FLOCK, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, struct fuse_file_info *fi, int op), (ino, fi, op)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, fallocate, FUSE3LOCK_OP_FALLOCATE, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi), (ino, mode, offset, length, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, readdirplus, FUSE3LOCK_OP_READDIRPLUS, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), (ino, size, off, fi)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, copy_file_range, FUSE3LOCK_OP_COPY_FILE_RANGE, FUSE3LOCK_REFUSE_, (fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags), (ino_in, off_in, fi_in, ino_out, off_out, fi_out, len, flags)) \
	FUSE3LOCK_HANDLER_(name, ops, lock_of, lseek, FUSE3LOCK_OP_LSEEK, FUSE3LOCK_REFUSE_, (fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi), (ino, off, whence, fi)) \
	FUSE3LOCK_TMPFILE_(name, ops, lock_of) \
	FUSE3LOCK_STATX_(name, ops, lock_of) \
	FUSE3LOCK_SYNCFS_(name, ops, lock_of) \
	static struct fuse_lowlevel_ops name(void) \
	{ \
		struct fuse_lowlevel_ops table_; \
		memset(&table_, 0, sizeof(table_)); \
		table_.init = name##_init; \
		FUSE3LOCK_SLOT_(name, ops, destroy); \
		FUSE3LOCK_SLOT_(name, ops, lookup); \
		FUSE3LOCK_SLOT_(name, ops, forget); \
		FUSE3LOCK_SLOT_(name, ops, getattr); \
		FUSE3LOCK_SLOT_(name, ops, setattr); \
		FUSE3LOCK_SLOT_(name, ops, readlink); \
		FUSE3LOCK_SLOT_(name, ops, mknod); \
		FUSE3LOCK_SLOT_(name, ops, mkdir); \
		FUSE3LOCK_SLOT_(name, ops, unlink); \
		FUSE3LOCK_SLOT_(name, ops, rmdir); \
		FUSE3LOCK_SLOT_(name, ops, symlink); \
		FUSE3LOCK_SLOT_(name, ops, rename); \
		FUSE3LOCK_SLOT_(name, ops, link); \
		FUSE3LOCK_SLOT_(name, ops, open); \
		FUSE3LOCK_SLOT_(name, ops, read); \
		FUSE3LOCK_SLOT_(name, ops, write); \
		FUSE3LOCK_SLOT_(name, ops, flush); \
		FUSE3LOCK_SLOT_(name, ops, release); \
		FUSE3LOCK_SLOT_(name, ops, fsync); \
		FUSE3LOCK_SLOT_(name, ops, opendir); \
		FUSE3LOCK_SLOT_(name, ops, readdir); \
		FUSE3LOCK_SLOT_(name, ops, releasedir); \
		FUSE3LOCK_SLOT_(name, ops, fsyncdir); \
		FUSE3LOCK_SLOT_(name, ops, statfs); \
		FUSE3LOCK_SLOT_(name, ops, setxattr); \
		FUSE3LOCK_SLOT_(name, ops, getxattr); \
		FUSE3LOCK_SLOT_(name, ops, listxattr); \
		FUSE3LOCK_SLOT_(name, ops, removexattr); \
		FUSE3LOCK_SLOT_(name, ops, access); \
		FUSE3LOCK_SLOT_(name, ops, create); \
		FUSE3LOCK_SLOT_(name, ops, getlk); \
		FUSE3LOCK_SLOT_(name, ops, setlk); \
		FUSE3LOCK_SLOT_(name, ops, bmap); \
		FUSE3LOCK_SLOT_(name, ops, ioctl); \
		FUSE3LOCK_SLOT_(name, ops, poll); \
		FUSE3LOCK_SLOT_(name, ops, write_buf); \
		FUSE3LOCK_SLOT_(name, ops, retrieve_reply); \
		FUSE3LOCK_SLOT_(name, ops, forget_multi); \
		FUSE3LOCK_SLOT_(name, ops, flock); \
		FUSE3LOCK_SLOT_(name, ops, fallocate); \
		FUSE3LOCK_SLOT_(name, ops, readdirplus); \
		FUSE3LOCK_SLOT_(name, ops, copy_file_range); \
		FUSE3LOCK_SLOT_(name, ops, lseek); \
		FUSE3LOCK_TMPFILE_SLOT_(name, ops) \
		FUSE3LOCK_STATX_SLOT_(name, ops) \
		FUSE3LOCK_SYNCFS_SLOT_(name, ops) \
		return table_; \
	} \
	struct fuse3lock

#ifdef __cplusplus
}
#endif

#endif
