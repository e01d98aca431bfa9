// What the parts of the library share.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE, SYNC, READ, OPEN, UNLINK, RENAME, TRUNCATE, STAT, KINDS };

struct fault {
  volatile int64_t error; // errno; 0: none; -1: the call hangs until that changes
  volatile int64_t half;  // only write: half of the bytes, and no whole lines, are written before the error
  volatile int64_t from;  // only read: the bytes of the file that can't be read,
  volatile int64_t to;    // up to this one; 0: none can
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
  volatile int64_t tear_at; // the process dies in the midst of this one of its writes
};

// No program's own names are in the way.
#pragma GCC visibility push(hidden)

extern struct control *control;
extern char faults_directory[PATH_MAX];

// The function that this library stands in front of.
#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// Where an open file is; an empty text for what is nowhere.
void path_of(int fd, char path[PATH_MAX]);
// The path of a name in an open directory.
void path_below(int directory_fd, const char *name, char path[2 * PATH_MAX]);

void open_journal(void);
int has_journal(void);
// Around each change, so that the journal has them in their order.
void begin_note(void);
void end_note(void);
void note_fd(const char *what, int fd);
void note_name(const char *what, int directory_fd, const char *name);
// What is about to lose its name is kept.
void bury(int directory_fd, const char *name);

#pragma GCC visibility pop
