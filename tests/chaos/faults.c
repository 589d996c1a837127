/* Faults of a disk and steps of a clock, for one process and its children: preloaded before libc.

Why C: full disks and failing fsyncs of a real kernel need mounts and devices that a test machine may not grant, and Python cannot
stand between SQLite and the kernel. What is wrong now stands in a file that the test maps as well, so it changes while all run. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* As tests/chaos/shim.py packs it. */
struct faults {
    int64_t clock_micros; /* how far the wall clock is off */
    uint8_t full[2];      /* 0: the tape's files, 1: the ledger's; no byte more can be written */
    uint8_t deaf[2];      /* likewise; what was written cannot be brought to the disk */
    uint32_t refused[2];  /* how often a fault was met, for a test to see that it was */
};

static struct faults calm;
static struct faults *now = &calm;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("TR_FAULTS");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0) return;
    void *found = mmap(NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (found != MAP_FAILED) now = found;
    close(descriptor);
}

/* Whose file it is: 0 the tape's, 1 the ledger's, -1 another's. Asked only while something is wrong. */
static int whose(int descriptor) {
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return -1;
    path[length] = 0;
    return strstr(path, "/tape") ? 0 : strstr(path, "/ledger.db") ? 1 : -1;
}

static int meets(const uint8_t fault[2], int descriptor) {
    if (!fault[0] && !fault[1]) return 0;
    int one = whose(descriptor);
    if (one < 0 || !fault[one]) return 0;
    __atomic_fetch_add(&now->refused[one], 1, __ATOMIC_RELAXED);
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* A full disk takes what still fits and refuses the rest: of every other write 16 bytes fit, so that a torn block is left behind. */
ssize_t write(int descriptor, const void *data, size_t count) {
    REAL(write);
    static int fits;
    if (!meets(now->full, descriptor)) return real(descriptor, data, count);
    fits = !fits;
    if (fits && count > 16) return real(descriptor, data, 16);
    errno = ENOSPC;
    return -1;
}

#define FULL_PWRITE(name, offset_type)                                                          \
    ssize_t name(int descriptor, const void *data, size_t count, offset_type offset) {         \
        REAL(name);                                                                             \
        if (meets(now->full, descriptor)) { errno = ENOSPC; return -1; }                       \
        return real(descriptor, data, count, offset);                                           \
    }
FULL_PWRITE(pwrite, off_t)
FULL_PWRITE(pwrite64, off64_t)

#define DEAF_SYNC(name)                                                                         \
    int name(int descriptor) {                                                                  \
        REAL(name);                                                                             \
        if (meets(now->deaf, descriptor)) { errno = EIO; return -1; }                          \
        return real(descriptor);                                                                \
    }
DEAF_SYNC(fsync)
DEAF_SYNC(fdatasync)

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(clock_gettime);
    int failed = real(clock, at);
    if (!failed && clock == CLOCK_REALTIME && now->clock_micros) {
        int64_t nanos = at->tv_nsec + (now->clock_micros % 1000000) * 1000;
        at->tv_sec += now->clock_micros / 1000000 + (nanos < 0 ? -1 : nanos / 1000000000);
        at->tv_nsec = nanos < 0 ? nanos + 1000000000 : nanos % 1000000000;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec read;
    int failed = clock_gettime(CLOCK_REALTIME, &read);
    at->tv_sec = read.tv_sec;
    at->tv_usec = read.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec read;
    clock_gettime(CLOCK_REALTIME, &read);
    if (at) *at = read.tv_sec;
    return read.tv_sec;
}
