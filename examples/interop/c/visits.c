/*
 * A file system in C, whose session is run by Rust, with a lock of Rust's around each
 * of its handlers: visits [-o ..] MOUNTPOINT, then "cat MOUNTPOINT/visits", which shows
 * how often it has been read.
 *
 * This half is the program: it has main(), makes and mounts the session, sets the
 * handlers of signals, and takes all of it away again.
 */
#define FUSE_USE_VERSION 35
#define _GNU_SOURCE
#include <fuse_lowlevel.h>

#include "visits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WORKERS = 8 };

static int attributes(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_nlink = 1;
	if (ino == FUSE_ROOT_ID)
		st->st_mode = S_IFDIR | 0555;
	else if (ino == 2)
		st->st_mode = S_IFREG | 0444;
	else
		return ENOENT;
	return 0;
}

/*
 * Each handler begins with it, and ends with leave(): 0 when it was answered here. Over
 * io_uring libfuse cancels its threads in handlers, too. The lock would be held for ever
 * by one that goes with it, so none goes in between; *cancel is what is restored.
 */
static int entered(fuse_req_t req, int *cancel)
{
	int error;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancel);
	error = visits_enter();
	if (error) {
		fuse_reply_err(req, -error);
		pthread_setcancelstate(*cancel, NULL);
	}
	return !error;
}

static void leave(int cancel)
{
	visits_leave();
	pthread_setcancelstate(cancel, NULL);
}

static void visits_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;
	int cancel;

	if (!entered(req, &cancel))
		return;
	if (parent != FUSE_ROOT_ID || strcmp(name, "visits") != 0) {
		fuse_reply_err(req, ENOENT);
	} else {
		memset(&entry, 0, sizeof(entry));
		entry.ino = 2;
		entry.entry_timeout = entry.attr_timeout = 300;
		attributes(entry.ino, &entry.attr);
		fuse_reply_entry(req, &entry);
	}
	leave(cancel);
}

static void visits_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int cancel, error;

	(void)fi;
	if (!entered(req, &cancel))
		return;
	error = attributes(ino, &st);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_attr(req, &st, 300);
	leave(cancel);
}

static void visits_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int cancel;

	if (!entered(req, &cancel))
		return;
	if (ino != 2) {
		fuse_reply_err(req, EISDIR);
	} else if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EACCES);
	} else {
		fi->direct_io = 1;
		fuse_reply_open(req, fi);
	}
	leave(cancel);
}

static void visits_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	const struct timespec moment = { 0, 10000 };
	char text[32] = "";
	uint64_t visits = 0;
	int cancel, error = 0;

	(void)ino, (void)fi;
	if (!entered(req, &cancel))
		return;
	if (offset == 0) {
		/* Without the lock, two threads would see the same number. */
		error = visits_get(&visits);
		visits++;
		nanosleep(&moment, NULL);
		if (!error)
			error = visits_set(visits);
		snprintf(text, sizeof(text), "%" PRIu64 "\n", visits);
	}
	/* The answer is a copy, and its system call keeps nobody waiting. */
	leave(cancel);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_buf(req, text, size < strlen(text) ? size : strlen(text));
}

static void visits_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	char buffer[256];
	struct stat st;
	size_t length = 0;
	int cancel;

	(void)ino, (void)fi;
	if (!entered(req, &cancel))
		return;
	attributes(2, &st);
	if (offset == 0)
		length = fuse_add_direntry(req, buffer, sizeof(buffer), "visits", &st, 1);
	fuse_reply_buf(req, buffer, length <= size ? length : 0);
	leave(cancel);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = visits_lookup,
	.getattr = visits_getattr,
	.open = visits_open,
	.read = visits_read,
	.readdir = visits_readdir,
};

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts options = { 0 };
	struct fuse_session *se;
	int result = -1;

	if (fuse_parse_cmdline(&args, &options) != 0)
		return 1;
	if (!options.mountpoint || options.show_help) {
		fprintf(stderr, "usage: %s [-o ..] MOUNTPOINT\n", argv[0]);
		goto out;
	}
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		goto out;
	if (fuse_set_signal_handlers(se) == 0) {
		if (fuse_session_mount(se, options.mountpoint) == 0) {
			result = visits_run(se, WORKERS);
			if (result < 0)
				fprintf(stderr, "%s: %s\n", argv[0], strerror(-result));
			fuse_session_unmount(se);
		}
		fuse_remove_signal_handlers(se);
	}
	fuse_session_destroy(se);
out:
	free(options.mountpoint);
	fuse_opt_free_args(&args);
	return result == 0 ? 0 : 1;
}
