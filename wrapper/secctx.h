/* Security contexts of what is created: absent before 3.19. */

/* How many the request has, or -1 when the header does not know of them. */
static inline int fuse3_req_secctx_count(fuse_req_t req)
{
#ifdef FUSE3_HAVE_SECCTX
	return fuse_req_secctx_count(req);
#else
	(void)req;
	return -1;
#endif
}

/* fuse3_req_secctx_next() begins again. */
static inline void fuse3_req_secctx_reset(fuse_req_t req)
{
#ifdef FUSE3_HAVE_SECCTX
	fuse_req_secctx_reset(req);
#else
	(void)req;
#endif
}

/* 0, and the next one, which lives as long as the request. */
static inline int fuse3_req_secctx_next(fuse_req_t req, const char **name, const void **value,
					uint32_t *size)
{
#ifdef FUSE3_HAVE_SECCTX
	/* The value is bytes or characters, by release. */
	return fuse_req_secctx_next(req, name, (void *)value, size);
#else
	(void)req, (void)name, (void)value, (void)size;
	return -ENOTSUP;
#endif
}
