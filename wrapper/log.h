/* Log: a va_list is another thing on each architecture. */

typedef void (*fuse3_log_sink_t)(int level, const char *message);

static fuse3_log_sink_t log_sink;

/*
 * libfuse logs from fuse_session_receive_buf() while a worker may be
 * cancelled. The sink is not written in C, and must not be unwound by a
 * cancellation: it is switched off meanwhile.
 */
static void log_adapter(enum fuse_log_level level, const char *format, va_list args)
{
	char message[1024];
	int cancel_state;
	int saved_errno = errno;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	vsnprintf(message, sizeof(message), format, args);
	if (log_sink)
		log_sink(level, message);
	pthread_setcancelstate(cancel_state, NULL);
	errno = saved_errno;
}

/*
 * Sends what libfuse logs to `sink`, formatted and cut at 1023 bytes; with NULL
 * to stderr again. Process-wide, to be called before another thread uses libfuse.
 */
static inline void fuse3_set_log_sink(fuse3_log_sink_t sink)
{
	log_sink = sink;
	fuse_set_log_func(sink ? log_adapter : NULL);
}
