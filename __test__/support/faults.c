// Faults of a disk and of a clock, for LD_PRELOAD (Linux). Which of them is on is read from a file in
// memory that the test writes to while the program runs: see faults.js, which knows its layout.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>
#include <signal.h>

enum { WRITE, SYNC, READ, OPEN, UNLINK, RENAME, TRUNCATE, STAT, KINDS };

struct fault {
  volatile int64_t error; // errno; 0: none
  volatile int64_t half;  // only write: half of the bytes, and no whole lines, are written before the error
  int64_t hits;           // calls that have failed
  int64_t calls;          // all calls for such a path
  char suffix[96];        // of the paths concerned, below the directory
};

struct control {
  volatile int64_t clock; // milliseconds that the wall clock is ahead
  struct fault faults[KINDS];
  int64_t points;           // all calls, whatever they are and fail
  volatile int64_t kill_at; // the process dies before this one; 0: never
  volatile int64_t fail_at; // this one fails with EIO
};

static struct control *control;
static char directory[PATH_MAX];

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("FAULTS_CONTROL"), *below = getenv("FAULTS_DIRECTORY");
  if (!path || !below || !realpath(below, directory)) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) control = map;
}

static int fails_at(int kind, const char *path) {
  struct fault *fault = &control->faults[kind];
  size_t length = strlen(path), below = strlen(directory), suffix = strlen(fault->suffix);
  if (strncmp(path, directory, below) != 0) return 0;
  int64_t point = __atomic_add_fetch(&control->points, 1, __ATOMIC_SEQ_CST);
  if (point == control->kill_at) kill(getpid(), SIGKILL);
  if (point == control->fail_at) {
    errno = EIO;
    return 1;
  }
  if (length < suffix || strcmp(path + length - suffix, fault->suffix) != 0) return 0;
  __atomic_add_fetch(&fault->calls, 1, __ATOMIC_SEQ_CST);
  int64_t error = fault->error;
  if (!error) return 0;
  __atomic_add_fetch(&fault->hits, 1, __ATOMIC_SEQ_CST);
  errno = (int)error;
  return 1;
}

static int fails_path(int kind, const char *path) {
  return control && path && fails_at(kind, path);
}

static int fails(int kind, int fd) {
  if (!control) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int before = errno;
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length <= 0) return 0;
  path[length] = 0;
  return fails_at(kind, path);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(write);
  static __thread int did_half;
  struct fault *fault = control ? &control->faults[WRITE] : NULL;
  if (fault && fails(WRITE, fd)) {
    if (!fault->half || did_half || count < 2) {
      did_half = 0;
      return -1;
    }
    did_half = 1;
    size_t half = count / 2;
    if (((const char *)bytes)[half - 1] == '\n') half--;
    return half ? real(fd, bytes, half) : -1;
  }
  return real(fd, bytes, count);
}

// What Rust's io::copy tries first: it falls back to read and write.
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
  REAL(copy_file_range);
  if (control) {
    errno = ENOSYS;
    return -1;
  }
  return real(in, from, out, to, count, flags);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
  static ssize_t (*real)(int, int, off64_t *, size_t);
  if (!real) real = (ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64");
  if (control) {
    errno = ENOSYS;
    return -1;
  }
  return real(out, in, offset, count);
}

ssize_t read(int fd, void *bytes, size_t count) {
  REAL(read);
  return fails(READ, fd) ? -1 : real(fd, bytes, count);
}

int fsync(int fd) {
  REAL(fsync);
  return fails(SYNC, fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return fails(SYNC, fd) ? -1 : real(fd);
}

int ftruncate64(int fd, off64_t length) {
  REAL(ftruncate64);
  return fails(TRUNCATE, fd) ? -1 : real(fd, length);
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails_path(OPEN, path) ? -1 : real(path, flags, mode);
}

// The path of a name in an open directory.
static int fails_name(int kind, int directory_fd, const char *name) {
  if (!control || !name || !name[0]) return 0;
  if (name[0] == '/' || directory_fd == AT_FDCWD) return fails_path(kind, name);
  char link[64], path[PATH_MAX + NAME_MAX + 2];
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory_fd);
  int before = errno;
  ssize_t length = readlink(link, path, PATH_MAX);
  errno = before;
  if (length <= 0) return 0;
  snprintf(path + length, sizeof path - length, "/%s", name);
  return fails_at(kind, path);
}

int openat64(int directory_fd, const char *name, int flags, ...) {
  REAL(openat64);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails_name(OPEN, directory_fd, name) ? -1 : real(directory_fd, name, flags, mode);
}

int openat(int directory_fd, const char *name, int flags, ...) {
  REAL(openat);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails_name(OPEN, directory_fd, name) ? -1 : real(directory_fd, name, flags, mode);
}

int unlinkat(int directory_fd, const char *name, int flags) {
  REAL(unlinkat);
  return fails_name(UNLINK, directory_fd, name) ? -1 : real(directory_fd, name, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
  REAL(renameat);
  return fails_name(RENAME, to_fd, to) ? -1 : real(from_fd, from, to_fd, to);
}

int fstatat64(int directory_fd, const char *name, struct stat64 *status, int flags) {
  REAL(fstatat64);
  return fails_name(STAT, directory_fd, name) ? -1 : real(directory_fd, name, status, flags);
}

int statx(int directory_fd, const char *restrict name, int flags, unsigned mask,
          struct statx *restrict status) {
  REAL(statx);
  return fails_name(STAT, directory_fd, name) ? -1 : real(directory_fd, name, flags, mask, status);
}

// --- The wall clock. What waits until a time of it waits until the clock says so, also when it is
// set meanwhile, as the kernel does it.

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
