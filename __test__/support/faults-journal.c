// The journal: what was done to which file, and what of it was synced, for power-cut.js.

#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int journal = -1;
static char graves[PATH_MAX]; // What loses its name is kept here, under the number of its inode.
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;

void open_journal(void) {
  const char *path = getenv("FAULTS_JOURNAL");
  char file[PATH_MAX + 16];
  if (!path || !realpath(path, graves)) return;
  snprintf(file, sizeof file, "%s/journal", graves);
  journal = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_below(const char *path) {
  size_t below = strlen(faults_directory);
  return strncmp(path, faults_directory, below) == 0 && (path[below] == '/' || !path[below]);
}

int has_journal(void) {
  return journal >= 0;
}

void begin_note(void) {
  if (journal >= 0) pthread_mutex_lock(&journal_lock);
}

void end_note(void) {
  if (journal >= 0) pthread_mutex_unlock(&journal_lock);
}

static void note(const char *what, uint64_t inode, const char *path, int64_t size) {
  int before = errno;
  dprintf(journal, "{\"what\":\"%s\",\"inode\":%lu,\"path\":\"%s\",\"size\":%ld}\n", what,
          (unsigned long)inode, path, (long)size);
  errno = before;
}

void note_fd(const char *what, int fd) {
  char path[PATH_MAX];
  struct stat status;
  if (journal < 0) return;
  path_of(fd, path);
  if (is_below(path) && fstat(fd, &status) == 0) note(what, status.st_ino, path, status.st_size);
}

void note_name(const char *what, int directory_fd, const char *name) {
  char path[2 * PATH_MAX];
  struct stat status;
  if (journal < 0) return;
  path_below(directory_fd, name, path);
  if (is_below(path) && fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
    note(what, status.st_ino, path, status.st_size);
}

void bury(int directory_fd, const char *name) {
  char path[2 * PATH_MAX], grave[PATH_MAX + 32];
  struct stat status;
  if (journal < 0) return;
  path_below(directory_fd, name, path);
  if (!is_below(path) || fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return;
  snprintf(grave, sizeof grave, "%s/%lu", graves, (unsigned long)status.st_ino);
  linkat(directory_fd, name, AT_FDCWD, grave, 0);
}
