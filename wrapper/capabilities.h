/* Capabilities: which of them libfuse passes on. */

/* The FUSE_CAP_* that this header knows and whose libfuse tells the kernel of them, or heeds them itself. */
static inline uint64_t fuse3_known_capabilities(void)
{
	uint64_t known = FUSE_CAP_ASYNC_READ | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_ATOMIC_O_TRUNC |
		FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK | FUSE_CAP_SPLICE_WRITE |
		FUSE_CAP_SPLICE_MOVE | FUSE_CAP_SPLICE_READ | FUSE_CAP_FLOCK_LOCKS |
		FUSE_CAP_IOCTL_DIR | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS |
		FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO | FUSE_CAP_WRITEBACK_CACHE |
		FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS |
		FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_EXPLICIT_INVAL_DATA;

#ifndef __GLIBC__
	/* The loop ends its workers by pthread_cancel(). musl's splice() does not heed that: the end of the session would
	 * wait for the next request. */
	known &= ~(uint64_t)FUSE_CAP_SPLICE_READ;
#endif
#ifdef FUSE3_HAVE_WANT_EXT
	/* Older ones set these by default and send neither. */
	known |= FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_HANDLE_KILLPRIV;
#endif
#ifdef FUSE_CAP_EXPIRE_ONLY
	known |= FUSE_CAP_EXPIRE_ONLY;
#endif
#ifdef FUSE_CAP_SETXATTR_EXT
	known |= FUSE_CAP_SETXATTR_EXT;
#endif
#if defined(FUSE_CAP_HANDLE_KILLPRIV_V2) && defined(FUSE3_HAVE_KILL_SUIDGID)
	/* Without the bit in struct fuse_file_info nobody knows when to drop them. */
	known |= FUSE_CAP_HANDLE_KILLPRIV_V2;
#endif
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	known |= FUSE_CAP_DIRECT_IO_ALLOW_MMAP;
#endif
#ifdef FUSE_CAP_PASSTHROUGH
	known |= FUSE_CAP_PASSTHROUGH;
#endif
#ifdef FUSE_CAP_NO_EXPORT_SUPPORT
	known |= FUSE_CAP_NO_EXPORT_SUPPORT;
#endif
#ifdef FUSE_CAP_OVER_IO_URING
	known |= FUSE_CAP_OVER_IO_URING;
#endif
#ifdef FUSE_CAP_ALLOW_IDMAP
	known |= FUSE_CAP_ALLOW_IDMAP;
#endif
#ifdef FUSE_CAP_SECURITY_CTX
	known |= FUSE_CAP_SECURITY_CTX;
#endif
	return known;
}
