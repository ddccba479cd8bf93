/* Passthrough: without a request, and with errno. */

/* struct fuse_backing_map and its ioctls of linux/fuse.h, which older systems' headers lack. */
struct fuse3_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

/* The id, from 1 on, or a negative errno. `device` is the session's descriptor. */
static inline int fuse3_backing_open(int device, int fd)
{
	struct fuse3_backing_map map = { fd, 0, 0 };
	int id = ioctl(device, _IOW(229, 1, struct fuse3_backing_map), &map);

	return id < 0 ? -errno : id;
}

/* 0 or a negative errno. */
static inline int fuse3_backing_close(int device, int32_t id)
{
	uint32_t closed = id;

	return ioctl(device, _IOW(229, 2, uint32_t), &closed) < 0 ? -errno : 0;
}
