/* Requests over io_uring: absent before 3.18. */

static inline bool shim_fuse_req_is_uring(fuse_req_t req)
{
#ifdef FUSE3_HAVE_IO_URING
	return fuse_req_is_uring(req);
#else
	(void)req;
	return false;
#endif
}

/* Negative when the request did not come over io_uring. */
static inline int shim_fuse_req_get_payload(fuse_req_t req, char **payload, size_t *size,
					    void **mr)
{
#ifdef FUSE3_HAVE_IO_URING
	return fuse_req_get_payload(req, payload, size, mr);
#else
	(void)req, (void)payload, (void)size, (void)mr;
	return -ENOTSUP;
#endif
}
