/*
 * A catalogue of texts: C code that was written for libfuse, and answers requests
 * itself, at once or later, from a thread of its own.
 */
#ifndef CATALOG_H
#define CATALOG_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

struct catalog;

/* NULL when there is no memory, or no thread. */
struct catalog *catalog_new(void);

/* No request may be waiting. */
void catalog_free(struct catalog *catalog);

/* The name of a text; NULL for any other inode. The inodes of texts are 2 and on. */
const char *catalog_name(fuse_ino_t ino);

/*
 * They answer, and return what the fuse_reply_*() did: below 0 when nobody took it.
 * given becomes the inode that was given out with it, 0 for none.
 */
int catalog_lookup(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t *given);
int catalog_getattr(fuse_req_t req, fuse_ino_t ino);

/*
 * 0: it is answered later, and then done(data, result) called with what
 * fuse_reply_buf() returned. Else an errno, and the caller is to answer.
 */
int catalog_read(struct catalog *catalog, fuse_req_t req, fuse_ino_t ino, size_t size,
		 off_t offset, void (*done)(void *data, int result), void *data);

#endif
