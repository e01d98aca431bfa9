// Faults of a disk and of a clock, for LD_PRELOAD (Linux). Which of them is on is read from a file in
// memory that the test writes to while the program runs: see faults.js, which knows its layout.

#include "faults.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct control *control;
char faults_directory[PATH_MAX];

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("FAULTS_CONTROL"), *below = getenv("FAULTS_DIRECTORY");
  if (!path || !below || !realpath(below, faults_directory)) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) control = map;
  open_journal();
}

static int fails_at(int kind, const char *path) {
  struct fault *fault = &control->faults[kind];
  size_t length = strlen(path), below = strlen(faults_directory), suffix = strlen(fault->suffix);
  if (strncmp(path, faults_directory, below) != 0) return 0;
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
  if (error > 0) {
    errno = (int)error;
    return 1;
  }
  while (fault->error < 0) nanosleep(&(struct timespec){0, 10000000}, NULL);
  return 0;
}

static int fails_path(int kind, const char *path) {
  return control && path && fails_at(kind, path);
}

// Where an open file is; an empty text for what is nowhere.
void path_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int before = errno;
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  errno = before;
  path[length > 0 ? length : 0] = 0;
}

static int fails(int kind, int fd) {
  if (!control) return 0;
  char path[PATH_MAX];
  path_of(fd, path);
  return path[0] && fails_at(kind, path);
}

// The path of a name in an open directory.
void path_below(int directory_fd, const char *name, char path[2 * PATH_MAX]) {
  path[0] = 0;
  if (name[0] != '/' && directory_fd != AT_FDCWD) {
    path_of(directory_fd, path);
    strcat(path, "/");
  }
  strncat(path, name, PATH_MAX - 1);
}

static ssize_t real_write(int fd, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  begin_note();
  ssize_t written = real(fd, bytes, count);
  if (written > 0) note_fd("write", fd);
  end_note();
  return written;
}

static int tears(int fd) {
  static int64_t writes;
  char path[PATH_MAX];
  if (!control->tear_at) return 0;
  path_of(fd, path);
  if (strncmp(path, faults_directory, strlen(faults_directory)) != 0) return 0;
  return __atomic_add_fetch(&writes, 1, __ATOMIC_SEQ_CST) == control->tear_at;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  static __thread int did_half;
  struct fault *fault = control ? &control->faults[WRITE] : NULL;
  if (fault && tears(fd)) {
    real_write(fd, bytes, count / 2);
    kill(getpid(), SIGKILL);
  }
  if (fault && fails(WRITE, fd)) {
    if (!fault->half || did_half || count < 2) {
      did_half = 0;
      return -1;
    }
    did_half = 1;
    size_t half = count / 2;
    if (((const char *)bytes)[half - 1] == '\n') half--;
    return half ? real_write(fd, bytes, half) : -1;
  }
  return real_write(fd, bytes, count);
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
  struct fault *fault = control ? &control->faults[READ] : NULL;
  if (fault && fault->error && fault->to) {
    struct stat status;
    off_t at = lseek(fd, 0, SEEK_CUR);
    int is_read = at >= 0 && at + (off_t)count > fault->from && at < fault->to;
    // At the end of a file there is nothing that its disk could fail to read.
    if (!is_read || fstat(fd, &status) != 0 || at >= status.st_size) return real(fd, bytes, count);
    // As far as it can.
    if (at < fault->from) return real(fd, bytes, fault->from - at);
  }
  return fails(READ, fd) ? -1 : real(fd, bytes, count);
}

// No disk need be kept busy where what was synced is noted.
static int sync_by(int (*real)(int), int fd) {
  if (fails(SYNC, fd)) return -1;
  begin_note();
  int result = has_journal() ? 0 : real(fd);
  if (result == 0) note_fd("sync", fd);
  end_note();
  return result;
}

int fsync(int fd) {
  REAL(fsync);
  return sync_by(real, fd);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return sync_by(real, fd);
}

int ftruncate64(int fd, off64_t length) {
  REAL(ftruncate64);
  if (fails(TRUNCATE, fd)) return -1;
  begin_note();
  int result = real(fd, length);
  if (result == 0) note_fd("write", fd);
  end_note();
  return result;
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails_path(OPEN, path) ? -1 : real(path, flags, mode);
}

static int fails_name(int kind, int directory_fd, const char *name) {
  char path[2 * PATH_MAX];
  if (!control || !name || !name[0]) return 0;
  path_below(directory_fd, name, path);
  return fails_at(kind, path);
}

static int note_opened(int fd, int flags) {
  if (fd >= 0 && flags & O_CREAT) note_fd("name", fd);
  return fd;
}

int openat64(int directory_fd, const char *name, int flags, ...) {
  REAL(openat64);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (fails_name(OPEN, directory_fd, name)) return -1;
  begin_note();
  int fd = note_opened(real(directory_fd, name, flags, mode), flags);
  end_note();
  return fd;
}

int openat(int directory_fd, const char *name, int flags, ...) {
  REAL(openat);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (fails_name(OPEN, directory_fd, name)) return -1;
  begin_note();
  int fd = note_opened(real(directory_fd, name, flags, mode), flags);
  end_note();
  return fd;
}

int unlinkat(int directory_fd, const char *name, int flags) {
  REAL(unlinkat);
  if (fails_name(UNLINK, directory_fd, name)) return -1;
  begin_note();
  bury(directory_fd, name);
  note_name("unlink", directory_fd, name);
  int result = real(directory_fd, name, flags);
  end_note();
  return result;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
  REAL(renameat);
  if (fails_name(RENAME, to_fd, to)) return -1;
  begin_note();
  bury(to_fd, to);
  // One move: what it was called, and what it is called now.
  note_name("from", from_fd, from);
  int result = real(from_fd, from, to_fd, to);
  if (result == 0) note_name("to", to_fd, to);
  end_note();
  return result;
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
