// diskprobe: how long an append of 300 bytes and its fdatasync take, twenty times a second, until SIGTERM.
//   diskprobe FILE
// Prints the quantiles in microseconds as one JSON line. Runs above all loads, so that it waits for the disk and not for a core.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static volatile sig_atomic_t done;
static void end(int signal_number) { (void)signal_number; done = 1; }
static int ascending(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return x < y ? -1 : x > y; }
static double now_us(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
int main(int count, char **arguments) {
  static double sample[65536];
  static char record[300];
  int n = 0;
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  if (count < 2) return 2;
  int fd = open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  while (!done && n < 65536) {
    double begun = now_us();
    if (write(fd, record, sizeof record) != sizeof record || fdatasync(fd)) { perror("diskprobe"); return 1; }
    sample[n++] = now_us() - begun;
    nanosleep(&(struct timespec){0, 50000000}, NULL);
  }
  unlink(arguments[1]);
  qsort(sample, n, sizeof *sample, ascending);
  printf("{\"n\":%d,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f}\n", n, sample[n / 2], sample[n * 9 / 10], sample[n * 99 / 100]);
  return 0;
}
