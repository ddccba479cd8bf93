// fuse3lock in C++17: for std::lock_guard, std::unique_lock and std::scoped_lock. The facts are in fuse3lock.h.
#ifndef FUSE3LOCK_HPP
#define FUSE3LOCK_HPP

#include "fuse3lock.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>

namespace fuse3 {

// -errno as an exception.
inline int checked(int result)
{
	if (result < 0)
		throw std::system_error(-result, std::generic_category(), "fuse3lock");
	return result;
}

// A lock of somebody else's, as a TimedLockable. It owns nothing, and may be copied.
class global_lock {
public:
	explicit global_lock(struct fuse3lock *lock) noexcept : lock_(lock) {}

	void lock() { checked(fuse3lock_acquire(lock_, FUSE3LOCK_FOREVER)); }
	void unlock() noexcept { (void)fuse3lock_release(lock_); }
	bool try_lock() { return acquire(0); }

	template <class Rep, class Period>
	bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
	{
		const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(timeout).count();
		return acquire(time > 0 ? time : 0);
	}

	template <class Clock, class Duration>
	bool try_lock_until(const std::chrono::time_point<Clock, Duration> &time)
	{
		return try_lock_for(time - Clock::now());
	}

	bool held() const noexcept { return fuse3lock_held(lock_) == 1; }
	int yield(unsigned int count) { return checked(fuse3lock_yield(lock_, count)); }
	struct fuse3lock *get() const noexcept { return lock_; }

private:
	bool acquire(std::int64_t nanoseconds)
	{
		const int result = fuse3lock_acquire(lock_, nanoseconds);
		return result != -ETIMEDOUT && checked(result) == 0;
	}

	struct fuse3lock *lock_;
};

// "with lock_released:" for a scope, which has the lock again at its end, also after an exception.
class released {
public:
	explicit released(global_lock &lock) : lock_(lock.get()), section_(checked(fuse3lock_released_begin(lock_))) {}
	~released() { (void)fuse3lock_released_end(lock_, section_); }
	released(const released &) = delete;
	released &operator=(const released &) = delete;

private:
	struct fuse3lock *lock_;
	int section_;
};

} // namespace fuse3

#endif
