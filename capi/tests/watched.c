/*
 * A file system that says what became of its handlers:
 *
 *	watched [early|clone] MOUNTPOINT
 *
 * "early" tells the session to end before it is run, "clone" runs it with FUSE3LOCK_CLONE_FD.
 *
 * Its only file is "file" (inode 2), whose attributes may be cached for an hour. It has more of a size after each lookup of
 * "change", and of "notify", which also tells the kernel so with the lock held. A read of it goes on, with the lock held,
 * until it is interrupted; one that is not from its beginning asks to be told only when it has been. "run" runs the session once more, and fails with what that said; "free" does the same with
 * fuse3lock_free(), without the lock; "end" ends it, "thread" does so from a thread of its own. "older" sends the notifications
 * that every kernel has, with the lock held, and "newer" those that not every one has; "flush" waits for them in a thread.
 *
 * Lines on stdout: "reading", "interrupted, held 0|1", "forget INO N, held 0|1", "older R R R R" and "newer R R R R" with what the
 * four functions returned, "flushed R", "descriptors N" with how many of /dev/fuse are open, when "descriptors" is looked up; and after the session has
 * ended what fuse3lock_run() returned, and what it returns for the same session once more, and for another one.
 */
#define FUSE_USE_VERSION 312

#define _GNU_SOURCE
#include "fuse3lock.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

#define FOREVER 3600.0

static struct fuse3lock *lock;
static struct fuse_session *se;
static atomic_int interrupted;
static pid_t reader;
static pthread_t helper;

/* What the lock guards. */
static off_t size = 1;

static struct stat attributes(fuse_ino_t ino)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	st.st_ino = ino;
	st.st_nlink = 1;
	st.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
	st.st_size = ino == FUSE_ROOT_ID ? 0 : size;
	return st;
}

static void *end(void *data)
{
	(void)data;
	MUST(fuse3lock_held(lock) == 0);
	MUST(fuse3lock_terminate(lock) == 0);
	return NULL;
}

static void *flush(void *data)
{
	(void)data;
	printf("flushed %d\n", fuse3lock_notify_flush(lock, FUSE3LOCK_FOREVER));
	return NULL;
}

static void help(void *(*function)(void *data))
{
	MUST(!helper && pthread_create(&helper, NULL, function, NULL) == 0);
}

static void older(void)
{
	const int inode = fuse3lock_notify_inval_inode(lock, 2, 4096, 512);
	const int entry = fuse3lock_notify_inval_entry(lock, FUSE_ROOT_ID, "file and more", 4);
	const int delete = fuse3lock_notify_delete(lock, FUSE_ROOT_ID, 2, "file", 4);
	const int store = fuse3lock_notify_store(lock, 2, 7, "bytes", 5);

	MUST(fuse3lock_held(lock) == 1);
	printf("older %d %d %d %d\n", inode, entry, delete, store);
}

static void newer(void)
{
	const uint64_t inos[] = { 2, 3 };
	const int expire = fuse3lock_notify_expire_entry(lock, FUSE_ROOT_ID, "file", 4);
	const int resend = fuse3lock_notify_resend(lock);
	const int epoch = fuse3lock_notify_increment_epoch(lock);
	const int prune = fuse3lock_notify_prune(lock, inos, 2);

	printf("newer %d %d %d %d\n", expire, resend, epoch, prune);
}

static void descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	char target[sizeof("/dev/fuse")];
	int count = 0;

	MUST(dir);
	while ((entry = readdir(dir))) {
		const ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));

		count += length == sizeof(target) - 1 && memcmp(target, "/dev/fuse", sizeof(target) - 1) == 0;
	}
	closedir(dir);
	printf("descriptors %d\n", count);
}

static void watched_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;
	int error = ENOENT;

	(void)parent;
	MUST(fuse3lock_held(lock) == 1);
	if (strcmp(name, "file") == 0) {
		memset(&entry, 0, sizeof(entry));
		entry.ino = 2;
		entry.attr = attributes(2);
		entry.attr_timeout = entry.entry_timeout = FOREVER;
		fuse_reply_entry(req, &entry);
		return;
	}
	if (strcmp(name, "change") == 0)
		size++;
	if (strcmp(name, "notify") == 0) {
		size++;
		MUST(fuse3lock_notify_inval_inode(lock, 2, -1, 0) == 0);
		MUST(fuse3lock_held(lock) == 1);
	}
	if (strcmp(name, "run") == 0)
		error = -fuse3lock_run(lock, se, 1, 0);
	if (strcmp(name, "free") == 0) {
		MUST(fuse3lock_release(lock) == 0);
		error = -fuse3lock_free(lock);
	}
	if (strcmp(name, "older") == 0)
		older();
	if (strcmp(name, "newer") == 0)
		newer();
	if (strcmp(name, "flush") == 0)
		help(flush);
	if (strcmp(name, "descriptors") == 0)
		descriptors();
	if (strcmp(name, "end") == 0)
		MUST(fuse3lock_terminate(lock) == 0);
	if (strcmp(name, "thread") == 0)
		help(end);
	fuse_reply_err(req, error);
}

static void forgotten(fuse_ino_t ino, uint64_t nlookup)
{
	printf("forget %llu %llu, held %d\n", (unsigned long long)ino, (unsigned long long)nlookup,
	       fuse3lock_held(lock));
}

static void watched_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forgotten(ino, nlookup);
	fuse_reply_none(req);
}

static void watched_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t at = 0; at < count; at++)
		forgotten(forgets[at].ino, forgets[at].nlookup);
	fuse_reply_none(req);
}

static void watched_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct stat st = attributes(ino);

	(void)fi;
	MUST(fuse3lock_held(lock) == 1);
	fuse_reply_attr(req, &st, FOREVER);
}

static void interrupt(fuse_req_t req, void *data)
{
	uint64_t holder = 0;

	(void)req;
	/* It came while the handler had the lock, or before. */
	MUST(data == &reader && fuse3lock_held(lock) == (gettid() == reader));
	MUST(fuse3lock_stat(lock, FUSE3LOCK_HOLDER, &holder) == 0 && holder == (uint64_t)reader);
	printf("interrupted, held %d\n", fuse3lock_held(lock));
	interrupted = 1;
}

static void watched_read(fuse_req_t req, fuse_ino_t ino, size_t length, off_t offset, struct fuse_file_info *fi)
{
	const struct timespec pause = { 0, 1000000 };

	(void)ino, (void)length, (void)fi;
	MUST(fuse3lock_held(lock) == 1);
	reader = gettid();
	if (offset == 0)
		fuse_req_interrupt_func(req, interrupt, &reader);
	printf("reading\n");
	while (!fuse_req_interrupted(req))
		nanosleep(&pause, NULL);
	if (offset != 0)
		fuse_req_interrupt_func(req, interrupt, &reader);
	/* It is told after the request has been marked. */
	while (!interrupted)
		nanosleep(&pause, NULL);
	fuse_req_interrupt_func(req, NULL, NULL);
	MUST(fuse3lock_held(lock) == 1);
	fuse_reply_err(req, EINTR);
}

static const struct fuse_lowlevel_ops watched_ops = {
	.lookup = watched_lookup,
	.forget = watched_forget,
	.getattr = watched_getattr,
	.read = watched_read,
	.forget_multi = watched_forget_multi,
};
#define lock_of(userdata) ((void)(userdata), lock)
FUSE3LOCK_OPS(locked_ops, watched_ops, lock_of);

/* Nobody is told of anything any more. */
static void after_the_end(void)
{
	const uint64_t ino = 2;

	MUST(fuse3lock_notify_inval_inode(lock, 2, 0, 0) == -ENOTCONN);
	MUST(fuse3lock_notify_inval_entry(lock, FUSE_ROOT_ID, "file", 4) == -ENOTCONN);
	MUST(fuse3lock_notify_expire_entry(lock, FUSE_ROOT_ID, "file", 4) == -ENOTCONN);
	MUST(fuse3lock_notify_delete(lock, FUSE_ROOT_ID, 2, "file", 4) == -ENOTCONN);
	MUST(fuse3lock_notify_store(lock, 2, 0, "a", 1) == -ENOTCONN);
	MUST(fuse3lock_notify_increment_epoch(lock) == -ENOTCONN);
	MUST(fuse3lock_notify_prune(lock, &ino, 1) == -ENOTCONN);
	MUST(fuse3lock_notify_resend(lock) == -ENOTCONN);
	MUST(fuse3lock_notify_flush(lock, FUSE3LOCK_FOREVER) == -ENOTCONN);
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_lowlevel_ops ops = locked_ops();
	const char *what = argc > 2 ? argv[1] : "";
	unsigned int flags = strcmp(what, "clone") == 0 ? FUSE3LOCK_CLONE_FD : 0;
	struct fuse_session *other;
	int result;

	alarm(60);
	setvbuf(stdout, NULL, _IOLBF, 0);
	lock = fuse3lock_new();
	MUST(lock && argc > 1);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	MUST(se && fuse_session_mount(se, argv[argc - 1]) == 0);
	if (strcmp(what, "early") == 0)
		MUST(fuse3lock_terminate(lock) == 0);
	result = fuse3lock_run(lock, se, 4, flags);
	if (helper)
		MUST(pthread_join(helper, NULL) == 0);
	printf("ended %d\n", result);
	if (result == 0)
		after_the_end();
	printf("again %d\n", fuse3lock_run(lock, se, 4, 0));
	other = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	MUST(other);
	printf("other %d\n", fuse3lock_run(lock, other, 4, 0));
	fuse_session_destroy(other);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	MUST(fuse3lock_free(lock) == 0);
	return result == 0 ? 0 : 1;
}
