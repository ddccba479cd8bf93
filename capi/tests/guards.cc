// std's guards over the lock, and what is thrown.
#define FUSE_USE_VERSION 312

#include "fuse3lock.hpp"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			std::exit(1); \
		} \
	} while (0)

template <class F> static int thrown(F f)
{
	try {
		f();
	} catch (const std::system_error &error) {
		return error.code().value();
	}
	return 0;
}

int main()
{
	alarm(60);
	struct fuse3lock *const owned = fuse3lock_new();
	fuse3::global_lock lock(owned);
	{
		std::lock_guard<fuse3::global_lock> guard(lock);
		MUST(lock.held());
		MUST(lock.yield(3) == 0);
		MUST(thrown([&] { lock.lock(); }) == EDEADLK);
		MUST(thrown([&] { (void)lock.try_lock(); }) == EDEADLK);
		try {
			fuse3::released section(lock);
			MUST(!lock.held());
			MUST(thrown([&] { (void)lock.yield(1); }) == EPERM);
			std::lock_guard<fuse3::global_lock> again(lock);
			throw std::runtime_error("out of both");
		} catch (const std::runtime_error &) {
			MUST(lock.held());
		}
		std::thread([=]() mutable {
			MUST(!lock.try_lock());
			MUST(!lock.try_lock_for(1ms));
			MUST(!lock.try_lock_until(std::chrono::steady_clock::now() - 1s));
			std::unique_lock<fuse3::global_lock> late(lock, 1ms);
			MUST(!late.owns_lock());
		}).join();
	}
	MUST(!lock.held());
	{
		std::scoped_lock guard(lock);
		MUST(lock.held());
	}
	MUST(thrown([&] { fuse3::released section(lock); }) == EPERM);
	MUST(fuse3lock_free(owned) == 0);
	return 0;
}
