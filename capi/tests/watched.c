/*
 * A file system that says what became of its handlers:
 *
 *	watched [-o ..] MOUNTPOINT
 *
 * Its only file is "file" (inode 2), whose attributes may be cached for an hour. It has more of a size after each lookup of
 * "change", and of "notify", which also tells the kernel so with the lock held. A read of it goes on, with the lock held,
 * until it is interrupted. "run" runs the session once more, and fails with what that said; "end" ends it.
 *
 * Lines on stdout: "reading", "interrupted, held 0|1", "forget INO N, held 0|1"; and after the session has ended what
 * fuse3lock_run() returned, and what it returns for the same session once more, and for another one.
 */
#define FUSE_USE_VERSION 312

#define _GNU_SOURCE
#include "fuse3lock.h"

#include <errno.h>
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
	if (strcmp(name, "end") == 0)
		MUST(fuse3lock_terminate(lock) == 0);
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
	/* It came while the handler had the lock. */
	MUST(data == &reader && gettid() != reader);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_HOLDER, &holder) == 0 && holder == (uint64_t)reader);
	printf("interrupted, held %d\n", fuse3lock_held(lock));
	interrupted = 1;
}

static void watched_read(fuse_req_t req, fuse_ino_t ino, size_t length, off_t offset, struct fuse_file_info *fi)
{
	const struct timespec pause = { 0, 1000000 };

	(void)ino, (void)length, (void)offset, (void)fi;
	MUST(fuse3lock_held(lock) == 1);
	reader = gettid();
	fuse_req_interrupt_func(req, interrupt, &reader);
	printf("reading\n");
	while (!interrupted)
		nanosleep(&pause, NULL);
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

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc - 1, argv);
	struct fuse_lowlevel_ops ops = locked_ops();
	struct fuse_session *other;
	int result;

	alarm(60);
	setvbuf(stdout, NULL, _IOLBF, 0);
	lock = fuse3lock_new();
	MUST(lock && argc > 1);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	MUST(se && fuse_session_mount(se, argv[argc - 1]) == 0);
	result = fuse3lock_run(lock, se, 4, 0);
	printf("ended %d\n", result);
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
