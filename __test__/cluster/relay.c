// A link that is slow and loses packets, for kernels without netem: two TAP devices, the second in
// another network namespace. Each frame that comes in at one goes out at the other after a while, in
// the order in which they came, or is lost.
//
//   relay NAMESPACE NAME NAME-THERE DELAY-MS JITTER-MS LOSS-PERCENT
//
// It writes a line when both devices are there, and ends when its standard input does.

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 8192 // what does not fit is lost, as in a router
#define FRAME 1600

struct frame {
  int64_t due;
  int length;
  unsigned char bytes[FRAME];
};

struct direction {
  int from, to;
  int64_t last;
  unsigned first, count;
  struct frame *frames;
};

static double delay, jitter, loss;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_tap(const char *name) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) fail(name);
  return fd;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

static void take(struct direction *way) {
  for (;;) {
    struct frame *frame = &way->frames[(way->first + way->count) % FRAMES];
    int length = read(way->from, frame->bytes, FRAME);
    if (length <= 0) return;
    if (drand48() * 100 < loss || way->count == FRAMES - 1) continue;
    int64_t due = now() + (int64_t)((delay + jitter * (2 * drand48() - 1)) * 1000);
    // A jitter that changed the order would be another fault.
    frame->due = way->last = due > way->last ? due : way->last;
    frame->length = length;
    way->count++;
  }
}

/** Sends what is due; returns the milliseconds until more is, or -1. */
static int pass_on(struct direction *way) {
  while (way->count > 0) {
    struct frame *frame = &way->frames[way->first];
    int64_t left = frame->due - now();
    if (left > 0) return (int)(left / 1000) + 1;
    // A device that is down takes nothing: lost, too.
    if (write(way->to, frame->bytes, frame->length) < 0) { }
    way->first = (way->first + 1) % FRAMES;
    way->count--;
  }
  return -1;
}

static int sooner(int one, int other) {
  return one < 0 ? other : other < 0 || one < other ? one : other;
}

int main(int count, char **arguments) {
  if (count != 7) return 2;
  delay = atof(arguments[4]);
  jitter = atof(arguments[5]);
  loss = atof(arguments[6]);
  srand48(1); // the same packets are lost each time, as far as the packets are the same
  int here = open_tap(arguments[2]);
  int namespace = open(arguments[1], O_RDONLY);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0) fail(arguments[1]);
  int there = open_tap(arguments[3]);
  struct direction ways[2] = {{.from = here, .to = there}, {.from = there, .to = here}};
  for (int i = 0; i < 2; i++) {
    ways[i].frames = calloc(FRAMES, sizeof(struct frame));
    if (!ways[i].frames) fail("memory");
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    int wait = sooner(pass_on(&ways[0]), pass_on(&ways[1]));
    struct pollfd fds[3] = {
        {.fd = here, .events = POLLIN}, {.fd = there, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    poll(fds, 3, wait);
    if (fds[2].revents) return 0;
    take(&ways[0]);
    take(&ways[1]);
  }
}
