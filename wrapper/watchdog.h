/* The watchdog of the teardown: absent before 3.19. */

static inline int fuse3_has_teardown_watchdog(void)
{
#ifdef FUSE3_HAVE_TEARDOWN_WATCHDOG
	return 1;
#else
	return 0;
#endif
}

/* Once the connection is gone, the process has so many seconds to end the session, or ends with 1. NULL on failure. */
static inline void *fuse3_session_start_teardown_watchdog(struct fuse_session *se,
							  int seconds)
{
#ifdef FUSE3_HAVE_TEARDOWN_WATCHDOG
	return fuse_session_start_teardown_watchdog(se, seconds, NULL, NULL);
#else
	(void)se, (void)seconds;
	return NULL;
#endif
}

static inline void fuse3_session_stop_teardown_watchdog(void *watchdog)
{
#ifdef FUSE3_HAVE_TEARDOWN_WATCHDOG
	fuse_session_stop_teardown_watchdog(watchdog);
#else
	(void)watchdog;
#endif
}
