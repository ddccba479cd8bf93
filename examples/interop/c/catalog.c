/* See catalog.h. */
#define _GNU_SOURCE
#include "catalog.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct text {
	const char *name;
	const char *text;
} TEXTS[] = {
	{ "proverb", "Many hands make light work.\n" },
	{ "rhyme", "Thirty days hath September,\nApril, June and November.\n" },
};
#define COUNT (sizeof(TEXTS) / sizeof(TEXTS[0]))

/* A read that is waiting for the thread. */
struct job {
	struct job *next;
	fuse_req_t req;
	const char *text;
	size_t size;
	void (*done)(void *data, int result);
	void *data;
};

struct catalog {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct job *first, **last;
	int over;
};

static const struct text *find(fuse_ino_t ino)
{
	return ino >= 2 && ino - 2 < COUNT ? &TEXTS[ino - 2] : NULL;
}

const char *catalog_name(fuse_ino_t ino)
{
	const struct text *text = find(ino);

	return text ? text->name : NULL;
}

static int attributes(fuse_ino_t ino, struct stat *st)
{
	const struct text *text = find(ino);

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_nlink = 1;
	if (text) {
		st->st_mode = S_IFREG | 0444;
		st->st_size = (off_t)strlen(text->text);
	} else if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0555;
	} else {
		return ENOENT;
	}
	return 0;
}

int catalog_lookup(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t *given)
{
	struct fuse_entry_param entry;
	size_t i;

	memset(&entry, 0, sizeof(entry));
	entry.entry_timeout = entry.attr_timeout = 1.0;
	for (i = 0; parent == FUSE_ROOT_ID && i < COUNT; i++) {
		if (strcmp(name, TEXTS[i].name) != 0)
			continue;
		*given = entry.ino = i + 2;
		attributes(entry.ino, &entry.attr);
		return fuse_reply_entry(req, &entry);
	}
	*given = 0;
	return fuse_reply_err(req, ENOENT);
}

int catalog_getattr(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st;
	int error = attributes(ino, &st);

	return error ? fuse_reply_err(req, error) : fuse_reply_attr(req, &st, 1.0);
}

int catalog_read(struct catalog *catalog, fuse_req_t req, fuse_ino_t ino, size_t size,
		 off_t offset, void (*done)(void *data, int result), void *data)
{
	const struct text *text = find(ino);
	struct job *job;
	size_t length;

	if (!text)
		return EISDIR;
	job = malloc(sizeof(*job));
	if (!job)
		return ENOMEM;
	length = strlen(text->text);
	if ((size_t)offset > length)
		offset = (off_t)length;
	length -= (size_t)offset;
	*job = (struct job){ NULL, req, text->text + offset, size < length ? size : length, done, data };
	pthread_mutex_lock(&catalog->mutex);
	*catalog->last = job;
	catalog->last = &job->next;
	pthread_cond_signal(&catalog->more);
	pthread_mutex_unlock(&catalog->mutex);
	return 0;
}

static void *work(void *data)
{
	struct catalog *catalog = data;
	struct job *job;

	pthread_mutex_lock(&catalog->mutex);
	for (;;) {
		while (!catalog->first && !catalog->over)
			pthread_cond_wait(&catalog->more, &catalog->mutex);
		job = catalog->first;
		if (!job)
			break;
		catalog->first = job->next;
		if (!catalog->first)
			catalog->last = &catalog->first;
		pthread_mutex_unlock(&catalog->mutex);
		job->done(job->data, fuse_reply_buf(job->req, job->text, job->size));
		free(job);
		pthread_mutex_lock(&catalog->mutex);
	}
	pthread_mutex_unlock(&catalog->mutex);
	return NULL;
}

struct catalog *catalog_new(void)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));

	if (!catalog)
		return NULL;
	pthread_mutex_init(&catalog->mutex, NULL);
	pthread_cond_init(&catalog->more, NULL);
	catalog->last = &catalog->first;
	if (pthread_create(&catalog->thread, NULL, work, catalog) != 0) {
		free(catalog);
		return NULL;
	}
	return catalog;
}

void catalog_free(struct catalog *catalog)
{
	pthread_mutex_lock(&catalog->mutex);
	catalog->over = 1;
	pthread_cond_signal(&catalog->more);
	pthread_mutex_unlock(&catalog->mutex);
	pthread_join(catalog->thread, NULL);
	pthread_cond_destroy(&catalog->more);
	pthread_mutex_destroy(&catalog->mutex);
	free(catalog);
}
