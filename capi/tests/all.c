/* The header, and all that its macro makes. The compiler is given FUSE_USE_VERSION. */
#define _FILE_OFFSET_BITS 64

#include "fuse3lock.h"

static const struct fuse_lowlevel_ops all_ops;
static struct fuse3lock *lock_of(void *userdata)
{
	return (struct fuse3lock *)userdata;
}
FUSE3LOCK_OPS(locked, all_ops, lock_of);

int main(void)
{
	struct fuse_lowlevel_ops ops = locked();

	return fuse3lock_run(NULL, NULL, ops.lookup != NULL, 0);
}
