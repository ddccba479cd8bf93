/* Notifications. */

/* Five arguments up to 3.16.0, four from 3.16.1, absent before 3.13. */
static inline int shim_fuse_lowlevel_notify_expire_entry(struct fuse_session *se,
							 fuse_ino_t parent,
							 const char *name,
							 size_t namelen)
{
#if defined(FUSE3_HAVE_EXPIRE_ENTRY_FLAGS)
	return fuse_lowlevel_notify_expire_entry(se, parent, name, namelen,
						 FUSE_LL_EXPIRE_ONLY);
#elif defined(FUSE3_HAVE_EXPIRE_ENTRY)
	return fuse_lowlevel_notify_expire_entry(se, parent, name, namelen);
#else
	(void)se, (void)parent, (void)name, (void)namelen;
	return -ENOSYS;
#endif
}
