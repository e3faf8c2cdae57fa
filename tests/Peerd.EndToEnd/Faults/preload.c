// Loaded into a node before the C library: moves its clock, fails or holds what it reads from and writes to one folder, and takes
// IPv6 away.
// A test holds the strings in memory that it shares with the node: see PreloadedFaults.cs.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct shared {
  int64_t clock_seconds;
  int64_t disk_fails;
  int64_t failures;
  int64_t disk_waits;
  int64_t waiting;
};

static struct shared nothing;
static volatile struct shared *shared = &nothing;
static const char *folder = "";

__attribute__((constructor)) static void load(void) {
  const char *file = getenv("PEERD_PRELOAD_FILE");
  int handle = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
  if (handle >= 0) {
    void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    if (memory != MAP_FAILED)
      shared = memory;
    close(handle);
  }
  const char *name = getenv("PEERD_PRELOAD_FOLDER");
  folder = name ? name : "";
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  long result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += shared->clock_seconds;
  return (int)result;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec time;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out)
    *out = now.tv_sec;
  return now.tv_sec;
}

// As the kernel does that was started with ipv6.disable=1.
int socket(int family, int type, int protocol) {
  if (family == AF_INET6 && getenv("PEERD_PRELOAD_NO_IPV6")) {
    errno = EAFNOSUPPORT;
    return -1;
  }
  return (int)syscall(SYS_socket, family, type, protocol);
}

static int fails(int file) {
  char link[64], path[4096];
  struct timespec pause = {0, 5000000};
  ssize_t length;
  if (!(shared->disk_fails || shared->disk_waits) || !*folder)
    return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || strncmp(path, folder, strlen(folder)) != 0)
    return 0;
  if (shared->disk_waits)
    __sync_fetch_and_add(&((struct shared *)shared)->waiting, 1);
  while (shared->disk_waits)
    nanosleep(&pause, NULL);
  if (!shared->disk_fails)
    return 0;
  __sync_fetch_and_add(&((struct shared *)shared)->failures, 1);
  errno = EIO;
  return 1;
}

ssize_t pread64(int file, void *to, size_t count, off64_t at) { return fails(file) ? -1 : syscall(SYS_pread64, file, to, count, at); }
ssize_t pread(int file, void *to, size_t count, off_t at) { return pread64(file, to, count, at); }
ssize_t pwrite64(int file, const void *from, size_t count, off64_t at) { return fails(file) ? -1 : syscall(SYS_pwrite64, file, from, count, at); }
ssize_t pwrite(int file, const void *from, size_t count, off_t at) { return pwrite64(file, from, count, at); }
ssize_t preadv64(int file, const struct iovec *to, int count, off64_t at) { return fails(file) ? -1 : syscall(SYS_preadv, file, to, count, at, 0L); }
ssize_t preadv(int file, const struct iovec *to, int count, off_t at) { return preadv64(file, to, count, at); }
ssize_t pwritev64(int file, const struct iovec *from, int count, off64_t at) { return fails(file) ? -1 : syscall(SYS_pwritev, file, from, count, at, 0L); }
ssize_t pwritev(int file, const struct iovec *from, int count, off_t at) { return pwritev64(file, from, count, at); }
