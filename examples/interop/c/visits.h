/*
 * What the C half of the program has of the Rust half (src/bin/visits.rs). Nothing
 * of libfuse crosses but the address of the session, so that each half may be
 * compiled as it likes.
 */
#ifndef VISITS_H
#define VISITS_H

#include <stdint.h>

struct fuse_session;

/*
 * fuse_session_loop_mt() on so many threads, until the file system is unmounted or
 * a signal comes: 0, the number of the signal, or a negative errno. The session is
 * mounted; it is the caller's again afterwards.
 */
int visits_run(struct fuse_session *se, unsigned int workers);

/* The lock: 0, or -EDEADLK when this thread holds it, -EPERM when it does not. */
int visits_enter(void);
int visits_leave(void);

/* What it guards. -EPERM without it. */
int visits_get(uint64_t *visits);
int visits_set(uint64_t visits);

#endif
