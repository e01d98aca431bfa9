// The wall clock. What waits until a time of it waits until the clock says so, also when it is set
// meanwhile, as the kernel does it.

#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static int64_t ahead(void) {
  return control ? control->clock : 0;
}

static void shift(struct timespec *time, int64_t ms) {
  int64_t ns = time->tv_nsec + (ms % 1000) * 1000000;
  time->tv_sec += ms / 1000;
  if (ns < 0) ns += 1000000000, time->tv_sec--;
  if (ns >= 1000000000) ns -= 1000000000, time->tv_sec++;
  time->tv_nsec = ns;
}

static int real_clock(clockid_t clock, struct timespec *time) {
  REAL(clock_gettime);
  return real(clock, time);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = real_clock(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    shift(time, ahead());
  return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *result) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

// Times before 2001 are those of a clock that counts from the machine's start.
#define IS_WALL_CLOCK(time) ((time)->tv_sec > 978307200)
#define SLICE_MS 20

// The end of the next slice in the kernel's time. Returns whether that is the end of all waiting.
static int next_slice(const struct timespec *until, struct timespec *slice) {
  struct timespec end = *until;
  shift(&end, -ahead());
  real_clock(CLOCK_REALTIME, slice);
  shift(slice, SLICE_MS);
  if (end.tv_sec > slice->tv_sec || (end.tv_sec == slice->tv_sec && end.tv_nsec > slice->tv_nsec))
    return 0;
  *slice = end;
  return 1;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!real) {
    // The version with the type of today: on x86_64 there is an older one.
    void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!found) found = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))found;
  }
  if (!control || !IS_WALL_CLOCK(until)) return real(condition, mutex, until);
  for (;;) {
    struct timespec slice;
    int is_last = next_slice(until, &slice);
    int result = real(condition, mutex, &slice);
    if (result != ETIMEDOUT || is_last) return result;
  }
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until) {
  static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
  if (!real) real = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
  if (!control || !IS_WALL_CLOCK(until)) return real(condition, mutex, until);
  for (;;) {
    struct timespec slice;
    int is_last = next_slice(until, &slice);
    int result = real(condition, mutex, &slice);
    if (result != thrd_timedout || is_last) return result;
  }
}
