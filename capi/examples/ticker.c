/*
 * A directory with one file, "ticks", which says how often a background thread has counted:
 *
 *	ticker [--workers=N] [-o ..] MOUNTPOINT
 *
 * - The background thread counts with the lock held, and yields it to handlers that wait: a tick takes long, but none of
 *   them waits for its end. After each tick it tells the kernel, with the lock held, that what it has cached is old.
 * - A read asks a slow backend in a released section, and looks again afterwards at what the lock guards.
 * - SIGINT, SIGTERM and SIGHUP end the session, by a handler of its own.
 * - What must not happen (a handler without the lock; two threads with it at once) aborts the program.
 *
 * At the end it says what was done: "ticks N, reads N, yields N".
 */
#define FUSE_USE_VERSION 312

#include <fuse3lock.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char NAME[] = "ticks";
static struct fuse3lock *lock;
static atomic_int ending;

/* What the lock guards. */
static struct {
	unsigned long ticks, reads, yields;
	/* Of the thread that is in a section: two at once would show. */
	int inside;
} state;

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

static void enter(void)
{
	MUST(fuse3lock_held(lock) == 1);
	MUST(state.inside++ == 0);
}

static void leave(void)
{
	MUST(--state.inside == 0);
	MUST(fuse3lock_held(lock) == 1);
}

static void sleep_ms(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static int attributes(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_uid = getuid();
	st->st_gid = getgid();
	st->st_nlink = 1;
	st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
	st->st_size = ino == FUSE_ROOT_ID ? 0 : 21;
	return ino == FUSE_ROOT_ID || ino == 2 ? 0 : ENOENT;
}

static void ticker_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata, (void)conn;
	enter();
	leave();
}

static void ticker_destroy(void *userdata)
{
	(void)userdata;
	enter();
	leave();
}

static void ticker_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;

	enter();
	memset(&entry, 0, sizeof(entry));
	if (parent != FUSE_ROOT_ID || strcmp(name, NAME) != 0) {
		fuse_reply_err(req, ENOENT);
	} else {
		entry.ino = 2;
		attributes(entry.ino, &entry.attr);
		fuse_reply_entry(req, &entry);
	}
	leave();
}

static void ticker_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino, (void)nlookup;
	enter();
	fuse_reply_none(req);
	leave();
}

static void ticker_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count, (void)forgets;
	enter();
	fuse_reply_none(req);
	leave();
}

static void ticker_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	enter();
	if (attributes(ino, &st))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, 0);
	leave();
}

static void ticker_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	enter();
	if (ino != 2)
		fuse_reply_err(req, EISDIR);
	else
		fuse_reply_open(req, fi);
	leave();
}

/* Something slow, without the lock. */
static void backend(void *data)
{
	MUST(fuse3lock_held(lock) == 0);
	sleep_ms(1);
	*(int *)data = 1;
}

static void ticker_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	char text[32];
	unsigned long before;
	int asked = 0, section;
	size_t length, start;

	(void)ino, (void)fi;
	enter();
	before = state.ticks;
	if (state.reads++ % 2) {
		leave();
		MUST(fuse3lock_released(lock, backend, &asked) == 0);
		enter();
	} else {
		leave();
		section = fuse3lock_released_begin(lock);
		MUST(section >= 0);
		MUST(fuse3lock_release(lock) == -EPERM);
		backend(&asked);
		MUST(fuse3lock_released_end(lock, section) == 0);
		enter();
	}
	MUST(asked && state.ticks >= before);
	length = (size_t)snprintf(text, sizeof(text), "%20lu\n", state.ticks);
	leave();
	/* The answer is a copy, so that nobody has to wait for it. */
	fuse3lock_release(lock);
	start = (size_t)offset < length ? (size_t)offset : length;
	fuse_reply_buf(req, text + start, size < length - start ? size : length - start);
}

static void ticker_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	char buffer[256];
	struct stat st;
	size_t length = 0;

	(void)fi, (void)ino;
	enter();
	attributes(2, &st);
	if (offset == 0)
		length = fuse_add_direntry(req, buffer, sizeof(buffer), NAME, &st, 1);
	fuse_reply_buf(req, buffer, length <= size ? length : 0);
	leave();
}

static const struct fuse_lowlevel_ops ticker_ops = {
	.init = ticker_init,
	.destroy = ticker_destroy,
	.lookup = ticker_lookup,
	.forget = ticker_forget,
	.getattr = ticker_getattr,
	.open = ticker_open,
	.read = ticker_read,
	.readdir = ticker_readdir,
	.forget_multi = ticker_forget_multi,
};
#define lock_of(userdata) ((void)(userdata), lock)
FUSE3LOCK_OPS(locked_ops, ticker_ops, lock_of);

static void *tick(void *data)
{
	int result;

	(void)data;
	while (!ending) {
		result = fuse3lock_acquire(lock, 100 * 1000 * 1000);
		if (result == -ETIMEDOUT)
			continue;
		MUST(result == 0);
		MUST(fuse3lock_acquire(lock, 0) == -EDEADLK);
		for (int step = 0; step < 20; step++) {
			enter();
			sleep_ms(1);
			leave();
			result = fuse3lock_yield(lock, 100);
			MUST(result >= 0);
			state.yields += (unsigned long)result;
		}
		enter();
		state.ticks++;
		result = fuse3lock_notify_inval_inode(lock, 2, 0, 0);
		MUST(result == 0 || result == -ENOTCONN);
		result = fuse3lock_notify_inval_entry(lock, FUSE_ROOT_ID, NAME, strlen(NAME));
		MUST(result == 0 || result == -ENOTCONN);
		leave();
		MUST(fuse3lock_release(lock) == 0);
	}
	return NULL;
}

static void end(int signal)
{
	(void)signal;
	fuse3lock_terminate(lock);
}

struct options {
	unsigned int workers;
	char *mountpoint;
};

static const struct fuse_opt option_specs[] = {
	{ "--workers=%u", offsetof(struct options, workers), 0 },
	FUSE_OPT_END
};

static int take(void *data, const char *argument, int key, struct fuse_args *args)
{
	struct options *options = (struct options *)data;

	(void)args;
	if (key != FUSE_OPT_KEY_NONOPT || options->mountpoint)
		return 1;
	options->mountpoint = realpath(argument, NULL);
	return options->mountpoint ? 0 : -1;
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct options options = { 8, NULL };
	struct fuse_lowlevel_ops ops = locked_ops();
	struct fuse_session *se = NULL;
	struct sigaction action;
	pthread_t thread;
	uint64_t taken = 0;
	int result = -1;

	lock = fuse3lock_new();
	if (!lock || fuse_opt_parse(&args, &options, option_specs, take) == -1)
		goto out;
	if (!options.mountpoint) {
		fprintf(stderr, "usage: %s [--workers=N] [-o ..] MOUNTPOINT\n", argv[0]);
		goto out;
	}
	memset(&action, 0, sizeof(action));
	action.sa_handler = end;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se || fuse_session_mount(se, options.mountpoint) != 0)
		goto out;
	if (pthread_create(&thread, NULL, tick, NULL) == 0) {
		result = fuse3lock_run(lock, se, options.workers, 0);
		if (result < 0)
			fprintf(stderr, "%s: %s\n", argv[0], strerror(-result));
		ending = 1;
		pthread_join(thread, NULL);
	}
	fuse_session_unmount(se);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_ACQUISITIONS, &taken) == 0 && taken > 0);
	printf("ticks %lu, reads %lu, yields %lu\n", state.ticks, state.reads, state.yields);
out:
	if (se)
		fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	free(options.mountpoint);
	if (fuse3lock_free(lock) != 0)
		result = -1;
	return result == 0 ? 0 : 1;
}
