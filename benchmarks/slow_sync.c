/* A disk whose syncs take longer: fdatasync and fsync wait SLOW_SYNC_US microseconds, then do what they do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static struct timespec longer;

__attribute__((constructor)) static void prepare(void) {
    const char *given = getenv("SLOW_SYNC_US");
    long micros = given ? atol(given) : 0;
    longer.tv_sec = micros / 1000000;
    longer.tv_nsec = micros % 1000000 * 1000;
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
}

int fdatasync(int fd) {
    nanosleep(&longer, 0);
    return real_fdatasync(fd);
}

int fsync(int fd) {
    nanosleep(&longer, 0);
    return real_fsync(fd);
}
