/*
 * A directory with one file that can only be read, as llfuse's example of this name:
 *
 *	lltest [--debug] [--debug-fuse] [--workers=N] [-o ..] MOUNTPOINT
 *
 * Handlers run with the global lock held, on as many of libfuse's threads as asked for.
 */
#define FUSE_USE_VERSION 312

#include <fuse3lock.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NAME[] = "message";
static const char TEXT[] = "hello world\n";

struct fs {
	struct fuse3lock *lock;
	int debug;
	/* What the lock guards. */
	unsigned long reads;
};

static struct fuse3lock *lock_of(void *userdata)
{
	return ((struct fs *)userdata)->lock;
}

/* The file system, in a handler. */
static struct fs *entered(fuse_req_t req, const char *handler)
{
	struct fs *fs = (struct fs *)fuse_req_userdata(req);

	if (fuse3lock_held(fs->lock) != 1) {
		fprintf(stderr, "%s without the lock\n", handler);
		abort();
	}
	if (fs->debug)
		fprintf(stderr, "%s\n", handler);
	return fs;
}

static int attributes(fuse_ino_t ino, struct stat *st)
{
	const struct timespec stamp = { 1438467123, 985654000 };

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_uid = getuid();
	st->st_gid = getgid();
	st->st_atim = st->st_mtim = st->st_ctim = stamp;
	st->st_nlink = 1;
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0755;
	} else if (ino == 2) {
		st->st_mode = S_IFREG | 0644;
		st->st_size = sizeof(TEXT) - 1;
	} else {
		return ENOENT;
	}
	return 0;
}

static void lltest_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;

	entered(req, "lookup");
	if (parent != FUSE_ROOT_ID || strcmp(name, NAME) != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	memset(&entry, 0, sizeof(entry));
	entry.ino = 2;
	entry.attr_timeout = entry.entry_timeout = 300;
	attributes(entry.ino, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void lltest_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino, (void)nlookup;
	entered(req, "forget");
	fuse_reply_none(req);
}

static void lltest_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int error = attributes(ino, &st);

	(void)fi;
	entered(req, "getattr");
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_attr(req, &st, 300);
}

static void lltest_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	entered(req, "open");
	if (ino != 2)
		fuse_reply_err(req, EISDIR);
	else if ((fi->flags & O_ACCMODE) != O_RDONLY)
		fuse_reply_err(req, EACCES);
	else
		fuse_reply_open(req, fi);
}

static void lltest_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	struct fs *fs = entered(req, "read");
	size_t length = sizeof(TEXT) - 1;
	size_t start = (size_t)offset < length ? (size_t)offset : length;

	(void)fi, (void)ino;
	fs->reads++;
	/* The reply needs nothing of what the lock guards. */
	fuse3lock_release(fs->lock);
	fuse_reply_buf(req, TEXT + start, size < length - start ? size : length - start);
}

static void lltest_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	char buffer[512];
	struct stat st;
	size_t length = 0;

	(void)fi;
	entered(req, "readdir");
	if (ino != FUSE_ROOT_ID) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	attributes(2, &st);
	if (offset == 0)
		length = fuse_add_direntry(req, buffer, sizeof(buffer), NAME, &st, 1);
	fuse_reply_buf(req, buffer, length <= size ? length : 0);
}

static const struct fuse_lowlevel_ops lltest_ops = {
	.lookup = lltest_lookup,
	.forget = lltest_forget,
	.getattr = lltest_getattr,
	.open = lltest_open,
	.read = lltest_read,
	.readdir = lltest_readdir,
};
FUSE3LOCK_OPS(locked_ops, lltest_ops, lock_of);

struct options {
	int debug;
	int debug_fuse;
	unsigned int workers;
	const char *mountpoint;
};

static const struct fuse_opt option_specs[] = {
	{ "--debug", offsetof(struct options, debug), 1 },
	{ "--debug-fuse", offsetof(struct options, debug_fuse), 1 },
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
	struct options options = { 0, 0, 1, NULL };
	struct fs fs = { fuse3lock_new(), 0, 0 };
	struct fuse_lowlevel_ops ops = locked_ops();
	struct fuse_session *se = NULL;
	int result = -1;

	if (!fs.lock || fuse_opt_parse(&args, &options, option_specs, take) == -1)
		goto out;
	if (!options.mountpoint) {
		fprintf(stderr, "usage: %s [--debug] [--debug-fuse] [--workers=N] [-o ..] MOUNTPOINT\n",
			argv[0]);
		goto out;
	}
	if (options.debug_fuse)
		fuse_opt_add_arg(&args, "-d");
	fs.debug = options.debug;
	se = fuse_session_new(&args, &ops, sizeof(ops), &fs);
	if (!se || fuse_set_signal_handlers(se) != 0)
		goto out;
	if (fuse_session_mount(se, options.mountpoint) == 0) {
		result = fuse3lock_run(fs.lock, se, options.workers, 0);
		if (result < 0)
			fprintf(stderr, "%s: %s\n", argv[0], strerror(-result));
		fuse_session_unmount(se);
	}
	fuse_remove_signal_handlers(se);
out:
	if (se)
		fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	free((char *)options.mountpoint);
	if (fuse3lock_free(fs.lock) != 0)
		result = -1;
	return result == 0 ? 0 : 1;
}
