/*
 * server STYLE MOUNTPOINT: the file system of server.rs, in C on libfuse's low-level API.
 *
 * STYLE says what is held while a request is handled:
 *   concurrent      nothing; the data of each file has a mutex of its own
 *   locked          one mutex, released before the reply is sent
 *   locked-reply    one mutex, released after the reply was sent
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES 8
/* Small, so that it stays in the cache of a processor, wherever its pages are. */
#define SIZE (256 << 10)
#define WORKERS 30
#define FIRST_INO (FUSE_ROOT_ID + 1)

/* What a file holds. A reply that is being sent has a share in it; who writes while it is shared writes to a copy. */
struct data {
	atomic_int shares;
	_Alignas(4096) char bytes[SIZE];
};

static struct file {
	pthread_mutex_t mutex;
	struct data *data;
} files[FILES];

static enum { CONCURRENT, LOCKED, LOCKED_REPLY } style;
static pthread_mutex_t global = PTHREAD_MUTEX_INITIALIZER;

/* What follows, around each handler: what is known about a file is under the global mutex, if there is one. */

static void enter(void)
{
	if (style != CONCURRENT)
		pthread_mutex_lock(&global);
}

static void before_reply(void)
{
	if (style == LOCKED)
		pthread_mutex_unlock(&global);
}

static void after_reply(void)
{
	if (style == LOCKED_REPLY)
		pthread_mutex_unlock(&global);
}

/* The data of a file, which change: where there is no global mutex they have their own. */

static void enter_data(struct file *file)
{
	if (style == CONCURRENT)
		pthread_mutex_lock(&file->mutex);
}

static void leave_data(struct file *file)
{
	if (style == CONCURRENT)
		pthread_mutex_unlock(&file->mutex);
}

static struct data *share(struct data *data)
{
	atomic_fetch_add_explicit(&data->shares, 1, memory_order_relaxed);
	return data;
}

static void unshare(struct data *data)
{
	if (atomic_fetch_sub_explicit(&data->shares, 1, memory_order_acq_rel) == 1)
		free(data);
}

static struct data *new_data(void)
{
	struct data *data = aligned_alloc(_Alignof(struct data), sizeof(*data));
	if (data)
		atomic_init(&data->shares, 1);
	return data;
}

/* The data of the file, not shared with anybody. NULL without memory. */
static struct data *own_data(struct file *file)
{
	struct data *copy;

	if (atomic_load_explicit(&file->data->shares, memory_order_acquire) == 1)
		return file->data;
	copy = new_data();
	if (copy) {
		memcpy(copy->bytes, file->data->bytes, SIZE);
		unshare(file->data);
		file->data = copy;
	}
	return copy;
}

static struct file *file_of(fuse_ino_t ino)
{
	return ino >= FIRST_INO && ino < FIRST_INO + FILES ? &files[ino - FIRST_INO] : NULL;
}

static bool attr_of(fuse_ino_t ino, struct stat *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_ino = ino;
	attr->st_blksize = 4096;
	if (ino == FUSE_ROOT_ID) {
		attr->st_mode = S_IFDIR | 0755;
		attr->st_nlink = 2;
	} else if (file_of(ino)) {
		attr->st_mode = S_IFREG | 0644;
		attr->st_nlink = 1;
		attr->st_size = SIZE;
	} else {
		return false;
	}
	return true;
}

/* Files are called 0, 1, 2 .. */
static bool ino_of(fuse_ino_t parent, const char *name, fuse_ino_t *ino)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	*ino = FIRST_INO + number;
	return parent == FUSE_ROOT_ID && *end == '\0' && number < FILES;
}

static void bench_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .attr_timeout = 0.0, .entry_timeout = 0.0 };
	bool found;

	enter();
	found = ino_of(parent, name, &entry.ino) && attr_of(entry.ino, &entry.attr);
	before_reply();
	if (found)
		fuse_reply_entry(req, &entry);
	else
		fuse_reply_err(req, ENOENT);
	after_reply();
}

static void bench_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;
	bool found;

	(void)fi;
	enter();
	found = attr_of(ino, &attr);
	before_reply();
	if (found)
		fuse_reply_attr(req, &attr, 0.0);
	else
		fuse_reply_err(req, ENOENT);
	after_reply();
}

static void bench_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool found;

	enter();
	found = file_of(ino) != NULL;
	before_reply();
	/* Each read and write is to get here, as it was asked for. */
	fi->direct_io = 1;
	if (found)
		fuse_reply_open(req, fi);
	else
		fuse_reply_err(req, ENOENT);
	after_reply();
}

static void bench_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	enter();
	before_reply();
	fuse_reply_err(req, 0);
	after_reply();
}

static void bench_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct data *data = NULL;
	struct file *file;
	size_t start, end;

	(void)fi;
	enter();
	file = file_of(ino);
	if (file) {
		enter_data(file);
		data = share(file->data);
		leave_data(file);
	}
	before_reply();
	if (data) {
		start = offset < SIZE ? offset : SIZE;
		end = size < SIZE - start ? start + size : SIZE;
		fuse_reply_buf(req, data->bytes + start, end - start);
	} else {
		fuse_reply_err(req, ENOENT);
	}
	after_reply();
	if (data)
		unshare(data);
}

static int write_data(fuse_ino_t ino, const char *from, size_t size, off_t offset)
{
	struct file *file = file_of(ino);
	struct data *data;

	if (!file)
		return ENOENT;
	if (offset > SIZE || size > (size_t)(SIZE - offset))
		return EFBIG;
	enter_data(file);
	data = own_data(file);
	if (data)
		memcpy(data->bytes + offset, from, size);
	leave_data(file);
	return data ? 0 : ENOMEM;
}

static void bench_write(fuse_req_t req, fuse_ino_t ino, const char *from, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	int error;

	(void)fi;
	enter();
	error = write_data(ino, from, size, offset);
	before_reply();
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_write(req, size);
	after_reply();
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = bench_lookup,
	.getattr = bench_getattr,
	.open = bench_open,
	.release = bench_release,
	.read = bench_read,
	.write = bench_write,
};

static bool parse_style(const char *name)
{
	static const char *const names[] = { "concurrent", "locked", "locked-reply" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(name, names[i]) == 0) {
			style = i;
			return true;
		}
	}
	return false;
}

static bool make_files(void)
{
	for (int i = 0; i < FILES; i++) {
		pthread_mutex_init(&files[i].mutex, NULL);
		files[i].data = new_data();
		if (!files[i].data)
			return false;
		memset(files[i].data->bytes, '0' + i, SIZE);
	}
	return true;
}

static int serve(struct fuse_session *se)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int result;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, WORKERS);
	result = fuse_session_loop_mt(se, config);
	fuse_loop_cfg_destroy(config);
	return result;
}

int main(int argc, char *argv[])
{
	char *arguments[] = { argv[0], "-ofsname=bench" };
	struct fuse_args args = FUSE_ARGS_INIT(2, arguments);
	struct fuse_session *se;
	int result;

	if (argc != 3 || !parse_style(argv[1])) {
		fprintf(stderr, "usage: %s concurrent|locked|locked-reply MOUNTPOINT\n", argv[0]);
		return 2;
	}
	if (!make_files())
		return 1;
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se || fuse_set_signal_handlers(se) != 0 || fuse_session_mount(se, argv[2]) != 0)
		return 1;
	result = serve(se);
	fuse_session_unmount(se);
	fuse_remove_signal_handlers(se);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	return result < 0 ? 1 : 0;
}
