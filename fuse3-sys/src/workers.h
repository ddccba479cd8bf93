/*
 * A loop with a limit of its threads, for libfuse before 3.12, whose own loop has
 * none: it starts a thread for each request that comes while all others are busy.
 * As that one it reads and handles requests by libfuse, with signals blocked in
 * its threads, which are cancelled while they read.
 */
#ifndef FUSE3_SYS_WORKERS_H
#define FUSE3_SYS_WORKERS_H

#include <fuse_log.h>
#include <fuse_lowlevel.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct workers {
	struct fuse_session *se;
	unsigned int most;
	unsigned int most_idle;
	/* Posted by a worker that has seen the end of the session. */
	sem_t end;
	/* Guards what follows. */
	pthread_mutex_t lock;
	unsigned int count;
	unsigned int idle;
	int error;
	bool over;
	struct worker *first;
};

struct worker {
	struct workers *all;
	pthread_t thread;
	struct fuse_buf request;
	struct worker *next;
	struct worker **self; /* what points to it */
};

static void *worker_main(void *data);

/* With all->lock held. */
static int worker_start(struct workers *all)
{
	static const int blocked[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	const char *stack = getenv("FUSE_THREAD_STACK");
	struct worker *worker = calloc(1, sizeof(*worker));
	sigset_t before, set;
	pthread_attr_t attr;
	size_t i;
	int error;

	if (!worker)
		return -ENOMEM;
	worker->all = all;
	pthread_attr_init(&attr);
	if (stack && pthread_attr_setstacksize(&attr, strtoul(stack, NULL, 10)))
		fuse_log(FUSE_LOG_ERR, "fuse: FUSE_THREAD_STACK is no size of a stack: %s\n", stack);
	sigemptyset(&set);
	for (i = 0; i < sizeof(blocked) / sizeof(*blocked); i++)
		sigaddset(&set, blocked[i]);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	error = pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error) {
		fuse_log(FUSE_LOG_ERR, "fuse: a thread cannot be started: %s\n", strerror(error));
		free(worker);
		return -error;
	}
	worker->next = all->first;
	worker->self = &all->first;
	if (worker->next)
		worker->next->self = &worker->next;
	all->first = worker;
	all->count++;
	all->idle++;
	return 0;
}

/* With all->lock held. */
static void worker_unlink(struct worker *worker)
{
	*worker->self = worker->next;
	if (worker->next)
		worker->next->self = worker->self;
}

static void worker_free(struct worker *worker)
{
	free(worker->request.mem);
	free(worker);
}

/* Before a request: the last one that is idle sees to it that there is another. False when the loop is over. */
static bool worker_begins(struct workers *all)
{
	bool over;

	pthread_mutex_lock(&all->lock);
	over = all->over;
	if (!over) {
		all->idle--;
		/* Without it, the next request waits for one of those that there are. */
		if (!all->idle && all->count < all->most)
			worker_start(all);
	}
	pthread_mutex_unlock(&all->lock);
	return !over;
}

/* After a request. False when there is no more to do: the loop is over, or the worker was one too many, and is gone. */
static bool worker_goes_on(struct worker *worker)
{
	struct workers *all = worker->all;
	bool over, too_many;

	pthread_mutex_lock(&all->lock);
	all->idle++;
	over = all->over;
	too_many = !over && all->idle > all->most_idle && all->count > 1;
	if (too_many) {
		all->idle--;
		all->count--;
		worker_unlink(worker);
	}
	pthread_mutex_unlock(&all->lock);
	if (too_many) {
		/* Nobody else knows of it any more. */
		pthread_detach(pthread_self());
		worker_free(worker);
	}
	return !over && !too_many;
}

static void *worker_main(void *data)
{
	struct worker *worker = data;
	struct workers *all = worker->all;

	while (!fuse_session_exited(all->se)) {
		int size;

		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		size = fuse_session_receive_buf(all->se, &worker->request);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		if (size == -EINTR)
			continue;
		if (size < 0) {
			pthread_mutex_lock(&all->lock);
			all->error = size;
			pthread_mutex_unlock(&all->lock);
			fuse_session_exit(all->se);
		}
		if (size <= 0)
			break;
		if (!worker_begins(all))
			return NULL;
		fuse_session_process_buf(all->se, &worker->request);
		if (!worker_goes_on(worker))
			return NULL;
	}
	sem_post(&all->end);
	return NULL;
}

static int workers_loop(struct fuse_session *se, unsigned int most, unsigned int most_idle)
{
	struct workers all = { .se = se, .most = most, .most_idle = most_idle };
	struct worker *worker;
	int error, of_session;

	sem_init(&all.end, 0, 0);
	pthread_mutex_init(&all.lock, NULL);
	pthread_mutex_lock(&all.lock);
	error = worker_start(&all);
	pthread_mutex_unlock(&all.lock);
	if (!error) {
		/* A signal ends the wait, too. */
		while (!fuse_session_exited(se))
			sem_wait(&all.end);
		pthread_mutex_lock(&all.lock);
		for (worker = all.first; worker; worker = worker->next)
			pthread_cancel(worker->thread);
		all.over = true;
		pthread_mutex_unlock(&all.lock);
		/* None starts or goes any more. */
		while ((worker = all.first)) {
			pthread_join(worker->thread, NULL);
			worker_unlink(worker);
			worker_free(worker);
		}
		error = all.error;
	}
	pthread_mutex_destroy(&all.lock);
	sem_destroy(&all.end);
	/*
	 * Since the session has exited, libfuse's loop without threads reads nothing: it
	 * tells the session's own error, which nothing else tells, and resets it.
	 */
	fuse_session_exit(se);
	of_session = fuse_session_loop(se);
	return of_session ? of_session : error;
}

#endif
