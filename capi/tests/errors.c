/*
 * What each function returns when it cannot do what it is asked, and the lock between two threads. With "debug" for its
 * argument it is run with a library that looks at the order in which locks are taken; with "soname" with a libfuse that says
 * to be of the other soname.
 */
#define FUSE_USE_VERSION 312

#define _GNU_SOURCE
#include "fuse3lock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

static struct fuse3lock *lock;
static unsigned long count;
static int called;

/* Of this thread. */
static int cancel_state(void)
{
	int state;

	MUST(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state) == 0);
	MUST(pthread_setcancelstate(state, NULL) == 0);
	return state;
}

static void take_it(void *data)
{
	(void)data;
	called++;
	MUST(fuse3lock_acquire(lock, FUSE3LOCK_FOREVER) == 0);
}

static void look(void *data)
{
	called++;
	MUST(fuse3lock_held(lock) == 0 && data == &called);
}

static void *other(void *data)
{
	(void)data;
	MUST(fuse3lock_held(lock) == 0);
	MUST(fuse3lock_release(lock) == -EPERM);
	MUST(fuse3lock_acquire(lock, 0) == -ETIMEDOUT);
	MUST(fuse3lock_acquire(lock, 1000 * 1000) == -ETIMEDOUT);
	MUST(fuse3lock_free(lock) == -EBUSY);
	return NULL;
}

/* Waits for what another thread holds, and gets it in time. */
static void *patient(void *data)
{
	(void)data;
	MUST(fuse3lock_acquire(lock, INT64_C(30) * 1000 * 1000 * 1000) == 0);
	MUST(fuse3lock_held(lock) == 1);
	MUST(fuse3lock_release(lock) == 0);
	return NULL;
}

static void in_time(void)
{
	pthread_t thread;
	uint64_t waiters = 0;

	MUST(fuse3lock_acquire(lock, 0) == 0);
	MUST(pthread_create(&thread, NULL, patient, NULL) == 0);
	while (waiters == 0)
		MUST(fuse3lock_stat(lock, FUSE3LOCK_WAITERS, &waiters) == 0);
	MUST(fuse3lock_release(lock) == 0);
	MUST(pthread_join(thread, NULL) == 0);
}

/* One lock with another one held, which a debug build refuses. */
static void two_locks(int debug)
{
	struct fuse3lock *second = fuse3lock_new();

	MUST(fuse3lock_acquire(second, 0) == 0);
	MUST(fuse3lock_acquire(lock, FUSE3LOCK_FOREVER) == (debug ? -ENOTRECOVERABLE : 0));
	MUST(fuse3lock_held(lock) == !debug);
	if (!debug)
		MUST(fuse3lock_release(lock) == 0);
	MUST(fuse3lock_release(second) == 0);
	MUST(fuse3lock_acquire(lock, FUSE3LOCK_FOREVER) == 0);
	MUST(fuse3lock_release(lock) == 0);
	MUST(fuse3lock_free(second) == 0);
}

/* That of another libfuse. */
static int session_fd(struct fuse_session *se)
{
	(void)se;
	return -1;
}

/* It is refused, although the program was compiled with headers of that libfuse. */
static void soname(void)
{
	const struct {
		unsigned int flags, writepage : 1, direct_io : 1, keep_cache : 1, flush : 1;
	} fi = { .flush = 1 };
	const size_t size = sizeof(struct fuse_file_info) < 56 ? 64 : 40;
	unsigned int flush;

	memcpy(&flush, (const char *)&fi + sizeof(fi.flags), sizeof(flush));
	MUST(fuse3lock_run_checked(lock, (struct fuse_session *)&called, 1, 0, size, flush, fuse_session_fd) == -ELIBBAD);
}

static void nothing(int signal)
{
	(void)signal;
}

/* What fails before the loop is no session that the lock has served. */
static void no_signal_left(void)
{
	struct fuse_session *nowhere = (struct fuse_session *)&called;

	/* Newer ones need none. */
	if (strverscmp(fuse_pkgversion(), "3.18") >= 0)
		return;
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		signal(number, nothing);
	MUST(fuse3lock_run(lock, nowhere, 1, 0) == -EIO);
	MUST(fuse3lock_run(lock, nowhere, 1, 0) == -EIO);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		signal(number, SIG_DFL);
}

static void *counting(void *data)
{
	(void)data;
	for (int i = 0; i < 10000; i++) {
		MUST(fuse3lock_acquire(lock, FUSE3LOCK_FOREVER) == 0);
		count++;
		MUST(fuse3lock_yield(lock, 1) >= 0);
		count++;
		MUST(fuse3lock_release(lock) == 0);
	}
	return NULL;
}

static void without_a_lock(void)
{
	char text[8];
	uint64_t value = 1;

	MUST(fuse3lock_acquire(NULL, 0) == -EINVAL);
	MUST(fuse3lock_release(NULL) == -EINVAL);
	MUST(fuse3lock_yield(NULL, 1) == -EINVAL);
	MUST(fuse3lock_held(NULL) == -EINVAL);
	MUST(fuse3lock_released_begin(NULL) == -EINVAL);
	MUST(fuse3lock_released_end(NULL, 0) == -EINVAL);
	MUST(fuse3lock_released(NULL, look, NULL) == -EINVAL);
	MUST(fuse3lock_run(NULL, NULL, 1, 0) == -EINVAL);
	MUST(fuse3lock_terminate(NULL) == -EINVAL);
	MUST(fuse3lock_notify_inval_inode(NULL, 1, 0, 0) == -EINVAL);
	MUST(fuse3lock_notify_inval_entry(NULL, 1, "a", 1) == -EINVAL);
	MUST(fuse3lock_notify_delete(NULL, 1, 2, "a", 1) == -EINVAL);
	MUST(fuse3lock_notify_store(NULL, 1, 0, "a", 1) == -EINVAL);
	MUST(fuse3lock_notify_expire_entry(NULL, 1, "a", 1) == -EINVAL);
	MUST(fuse3lock_notify_increment_epoch(NULL) == -EINVAL);
	MUST(fuse3lock_notify_prune(NULL, &value, 1) == -EINVAL);
	MUST(fuse3lock_notify_resend(NULL) == -EINVAL);
	MUST(fuse3lock_notify_flush(NULL, 0) == -EINVAL);
	MUST(fuse3lock_stat(NULL, 0, &value) == -EINVAL);
	MUST(fuse3lock_op_stat(NULL, NULL, 0, &value) == -EINVAL);
	MUST(fuse3lock_report(NULL, text, sizeof(text)) == -EINVAL);
	MUST(fuse3lock_enter(NULL, FUSE3LOCK_OP_LOOKUP) == -EINVAL);
	fuse3lock_leave(NULL, 0);
	fuse3lock_begun(NULL, 0);
	MUST(fuse3lock_free(NULL) == 0);
}

static void held(void)
{
	uint64_t value = 0;
	char text[16];
	int section, entered;

	MUST(fuse3lock_held(lock) == 0);
	MUST(fuse3lock_release(lock) == -EPERM);
	MUST(fuse3lock_yield(lock, 1) == -EPERM);
	MUST(fuse3lock_released_begin(lock) == -EPERM);
	MUST(fuse3lock_released(lock, look, &called) == -EPERM && called == 0);
	MUST(fuse3lock_acquire(lock, 0) == 0);
	MUST(fuse3lock_held(lock) == 1);
	MUST(fuse3lock_acquire(lock, FUSE3LOCK_FOREVER) == -EDEADLK);
	MUST(fuse3lock_held(lock) == 1);
	MUST(fuse3lock_yield(lock, 100) == 0);
	MUST(fuse3lock_free(lock) == -EBUSY);
	MUST(fuse3lock_notify_flush(lock, 0) == -EDEADLK);
	MUST(fuse3lock_run(lock, (struct fuse_session *)text, 1, 0) == -EDEADLK);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_HOLDER, &value) == 0 && value == (uint64_t)gettid());

	MUST(fuse3lock_released(lock, NULL, NULL) == -EINVAL && fuse3lock_held(lock) == 1);
	MUST(fuse3lock_released(lock, look, &called) == 0 && called == 1);
	MUST(fuse3lock_held(lock) == 1);
	MUST(fuse3lock_released(lock, take_it, NULL) == -EDEADLK && called == 2);
	MUST(fuse3lock_held(lock) == 1);
	section = fuse3lock_released_begin(lock);
	MUST(section >= 0 && fuse3lock_held(lock) == 0);
	MUST(fuse3lock_released_end(lock, -EPERM) == -EINVAL);
	MUST(fuse3lock_released_end(lock, 0xfe) == -EINVAL && fuse3lock_held(lock) == 0);
	MUST(fuse3lock_released_end(lock, section) == 0 && fuse3lock_held(lock) == 1);
	MUST(fuse3lock_released_end(lock, section) == -EDEADLK);
	MUST(fuse3lock_release(lock) == 0);

	/* What the trampolines do. A released section stays the handler's. */
	MUST(fuse3lock_enter(lock, FUSE3LOCK_OP_END_) == -EINVAL && fuse3lock_held(lock) == 0);
	entered = fuse3lock_enter(lock, FUSE3LOCK_OP_LOOKUP);
	MUST(entered >= 0 && fuse3lock_held(lock) == 1 && cancel_state() == PTHREAD_CANCEL_DISABLE);
	section = fuse3lock_released_begin(lock);
	MUST(fuse3lock_released_end(lock, section) == 0);
	fuse3lock_leave(lock, entered);
	MUST(fuse3lock_held(lock) == 0 && cancel_state() == PTHREAD_CANCEL_ENABLE);
	MUST(fuse3lock_op_stat(lock, "lookup", FUSE3LOCK_USE_COUNT, &value) == 0 && value == 2);
	entered = fuse3lock_enter(lock, FUSE3LOCK_OP_READ);
	MUST(fuse3lock_release(lock) == 0);
	fuse3lock_leave(lock, entered);
	/* Who holds it keeps it. */
	MUST(fuse3lock_acquire(lock, 0) == 0);
	entered = fuse3lock_enter(lock, FUSE3LOCK_OP_DESTROY);
	MUST(entered >= 0);
	fuse3lock_leave(lock, entered);
	MUST(fuse3lock_held(lock) == 1);
	MUST(fuse3lock_release(lock) == 0);
}

static void figures(void)
{
	uint64_t value = 77;
	char text[16];

	MUST(fuse3lock_stat(lock, FUSE3LOCK_HELD_NS + 1, &value) == -EINVAL && value == 77);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_ACQUISITIONS, NULL) == -EINVAL);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_ACQUISITIONS, &value) == 0 && value >= 5);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_HOLDER, &value) == 0 && value == 0);
	MUST(fuse3lock_stat(lock, FUSE3LOCK_WAITERS, &value) == 0 && value == 0);
	MUST(fuse3lock_op_stat(lock, "no such", FUSE3LOCK_USE_COUNT, &value) == -EINVAL);
	MUST(fuse3lock_op_stat(lock, "read", FUSE3LOCK_USE_HELD_MAX_NS + 1, &value) == -EINVAL);
	MUST(fuse3lock_op_stat(lock, NULL, FUSE3LOCK_USE_COUNT, &value) == 0 && value > 0);
	MUST(fuse3lock_op_stat(lock, "tmpfile", FUSE3LOCK_USE_COUNT, &value) == 0 && value == 0);
	MUST(fuse3lock_report(lock, NULL, 0) > 20);
	MUST(fuse3lock_report(lock, text, sizeof(text)) > 20);
	MUST(strcmp(text, "global lock: fr") == 0);
}

static void notifications(void)
{
	char padded[3] = { 'a', 0, 'b' };

	/* Queued, for a session to come. */
	MUST(fuse3lock_notify_inval_inode(lock, 1, 0, 0) == 0);
	MUST(fuse3lock_notify_inval_inode(lock, 1, -1, 0) == 0);
	MUST(fuse3lock_notify_store(lock, 1, 0, NULL, 0) == 0);
	MUST(fuse3lock_notify_store(lock, 1, 0, NULL, 1) == -EINVAL);
	MUST(fuse3lock_notify_store(lock, 1, -1, "a", 1) == -EINVAL);
	MUST(fuse3lock_notify_inval_entry(lock, 1, NULL, 1) == -EINVAL);
	MUST(fuse3lock_notify_inval_entry(lock, 1, "", 0) == -EINVAL);
	MUST(fuse3lock_notify_inval_entry(lock, 1, "a/b", 3) == -EINVAL);
	MUST(fuse3lock_notify_inval_entry(lock, 1, padded, sizeof(padded)) == -EINVAL);
	MUST(fuse3lock_notify_expire_entry(lock, 1, "a/b", 3) == -EINVAL);
	MUST(fuse3lock_notify_delete(lock, 1, 2, "", 0) == -EINVAL);
	MUST(fuse3lock_notify_delete(lock, 1, 2, "a", 1) == 0);
	MUST(fuse3lock_notify_prune(lock, NULL, 1) == -EINVAL);
	MUST(fuse3lock_notify_prune(lock, NULL, 0) == 0);
	MUST(fuse3lock_notify_resend(lock) == 0);
	MUST(fuse3lock_notify_flush(lock, 1000) == -ETIMEDOUT);
}

int main(int argc, char *argv[])
{
	pthread_t threads[4];
	struct fuse_session *nowhere = (struct fuse_session *)&called;
	struct fuse_file_info fi = { .flush = 1 };
	unsigned int flush;

	alarm(60);
	without_a_lock();
	lock = fuse3lock_new();
	MUST(lock);
	if (argc > 1 && strcmp(argv[1], "soname") == 0) {
		soname();
		return 0;
	}
	MUST(strcmp(fuse3lock_version(), "") != 0);
	held();
	figures();
	notifications();

	MUST(fuse3lock_run(lock, NULL, 1, 0) == -EINVAL);
	MUST(fuse3lock_run(lock, nowhere, 0, 0) == -EINVAL);
	MUST(fuse3lock_run(lock, nowhere, 1, 1u << 31) == -EINVAL);
	memcpy(&flush, (const char *)&fi + sizeof(fi.flags), sizeof(flush));
	MUST(fuse3lock_run_checked(lock, nowhere, 1, 0, sizeof(fi), flush, NULL) == -EINVAL);
	/* Other headers: the bit elsewhere, another size. */
	MUST(fuse3lock_run_checked(lock, nowhere, 1, 0, sizeof(fi), flush << 4, fuse_session_fd) == -ELIBBAD);
	MUST(fuse3lock_run_checked(lock, nowhere, 1, 0, sizeof(fi) < 56 ? 64 : 40, flush, fuse_session_fd) == -ELIBBAD);
	MUST(fuse3lock_run_checked(lock, nowhere, 1, 0, sizeof(fi), flush, session_fd) == -ELIBBAD);

	no_signal_left();
	in_time();
	two_locks(argc > 1 && strcmp(argv[1], "debug") == 0);
	MUST(fuse3lock_acquire(lock, FUSE3LOCK_FOREVER) == 0);
	MUST(pthread_create(&threads[0], NULL, other, NULL) == 0);
	MUST(pthread_join(threads[0], NULL) == 0);
	MUST(fuse3lock_release(lock) == 0);
	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&threads[i], NULL, counting, NULL) == 0);
	for (int i = 0; i < 4; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	MUST(count == 4 * 2 * 10000);
	MUST(fuse3lock_terminate(lock) == 0);
	MUST(fuse3lock_free(lock) == 0);
	return 0;
}
