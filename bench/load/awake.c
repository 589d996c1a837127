// awake: keeps one virtual core from going to sleep, in the class SCHED_IDLE, so that it takes nothing from anybody.
//   taskset -c 1 awake
// A sleeping virtual core must be woken by the host (50 to 5,000 us under a busy host), which no system under test can help.
#define _GNU_SOURCE
#include <sched.h>
#include <sys/prctl.h>
#include <signal.h>
int main(void) {
  struct sched_param none = {0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (sched_setscheduler(0, SCHED_IDLE, &none)) return 1;
  for (;;) __asm__ volatile("" ::: "memory");
}
