/* The headers, and all that the macro makes. The compiler is given FUSE_USE_VERSION. */

#include "fuse3lock.hpp"

static const struct fuse_lowlevel_ops all_ops = {};
static struct fuse3lock *lock_of(void *userdata)
{
	return static_cast<struct fuse3lock *>(userdata);
}
FUSE3LOCK_OPS(locked, all_ops, lock_of);

int main()
{
	struct fuse_lowlevel_ops ops = locked();

	return fuse3lock_run(nullptr, nullptr, ops.lookup != nullptr, 0);
}
