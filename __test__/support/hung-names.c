/* A name server that never answers for names that end with ".hung.test": for LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

static int is_hung(const char *name) {
  static const char end[] = ".hung.test";
  size_t length = name ? strlen(name) : 0;
  return length >= sizeof end - 1 && strcmp(name + length - (sizeof end - 1), end) == 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
  static __typeof__(&getaddrinfo) real;
  while (is_hung(name)) pause();
  if (!real) real = (__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo");
  return real(name, service, hints, found);
}
