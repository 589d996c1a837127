// openload: calls without streaming over keep-alive HTTP/1.1, open loop (Poisson arrivals), one thread, epoll, loopback only.
//   openload port=8000 rate=3000 seconds=10 warm=2 connections=64 keys=1000 key=bench-%06d sticky=0 body=1000 seed=1 [extra='Name: value|Name: value']
// rate > 0: calls arrive by a seeded Poisson process whether or not earlier ones are answered; latency counts from the moment a
//   call was *meant* to be sent, so a stall costs every call that arrived during it (no coordinated omission). Beside it stands the
//   latency from the moment the generator awoke for it: the same, waiting for a connection included, less the generator's own sleep.
// rate = 0: closed loop; every connection sends its next call at once (for calls per CPU-second, not for latency).
// sticky=1: a connection keeps one key, as an agent does; sticky=0: keys rotate call by call over the whole pool.
// Prints one JSON line: achieved rate, latency from intention and from waking, how late the generator itself was, and failures.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
#define HEAD_BYTES 1024
#define ANSWER_HEAD_BYTES 16384
#define BACKLOG (1u << 20)

typedef struct {
  int fd, index, busy, open;
  long sent_bytes;                     // of the request under way: head, then body
  u64 intended, due;
  int head_len;
  char head[HEAD_BYTES];
  int used, in_body, chunked, status;  // of the answer
  long left;
  char tail[5];                        // last bytes of a chunked answer
  char answer[ANSWER_HEAD_BYTES];
} Connection;

typedef struct { uint32_t *v; size_t n, cap; } Samples;

static int port = 8000, connections = 64, keys = 1, sticky = 0, body_bytes = 1000;
static double rate = 0, seconds = 10, warm = 2;
static u64 seed = 1;
static const char *key_format = "sk-test-0001", *model = "gpt-4o-mini", *path = "/v1/chat/completions";
static char extra[512];                // more header lines, each with its end
static Connection *pool;
static int *idle, idle_head, idle_count, epoll;
static char *body;
static long body_len;
static u64 (*waiting)[2];              // intended and due times that found no idle connection
static unsigned waiting_head, waiting_tail;
static u64 began, measured_from, ends, calls_sent, answered, non_2xx, errors, reconnects, overflow;
static int told;                       // the first refusal is shown, the others are counted
static Samples from_intended, from_due, lateness;

static u64 now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }

static void keep(Samples *s, u64 ns) {
  if (s->n == s->cap) { s->cap = s->cap ? s->cap * 2 : 65536; s->v = realloc(s->v, s->cap * sizeof *s->v); }
  s->v[s->n++] = ns / 100 > UINT32_MAX ? UINT32_MAX : ns / 100;  // tenths of a microsecond
}
static int ascending(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return x < y ? -1 : x > y; }
static void print_quantiles(const char *name, Samples *s) {
  static const double at[] = {.5, .9, .99, .999};
  static const char *label[] = {"p50", "p90", "p99", "p999"};
  qsort(s->v, s->n, sizeof *s->v, ascending);
  printf(",\"%s\":{\"n\":%zu", name, s->n);
  for (int i = 0; i < 4; i++) printf(",\"%s\":%.1f", label[i], s->n ? s->v[(size_t)(at[i] * (s->n - 1))] / 10.0 : 0.0);
  printf(",\"max\":%.1f}", s->n ? s->v[s->n - 1] / 10.0 : 0.0);
}

// xorshift64*: seeded, so that two systems meet the same arrivals
static double uniform(void) { seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27; return ((seed * 2685821657736338717ull) >> 11) * (1.0 / 9007199254740992.0); }
static u64 next_gap(void) { return (u64)(-log(1.0 - uniform()) / rate * 1e9); }

static void watch(Connection *c, int operation, int writable) {
  struct epoll_event e = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(epoll, operation, c->fd, &e);
}
static void dial(Connection *c) {
  int one = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (void *)&a, sizeof a)) { perror("connect"); exit(1); }  // blocking: loopback, and before or between calls
  if (setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one)) perror("setsockopt");
  c->busy = 0;
  watch(c, EPOLL_CTL_ADD, 0);
}
static void make_idle(Connection *c) { idle[(idle_head + idle_count++) % connections] = c->index; }

static void write_request(Connection *c) {
  long total = c->head_len + body_len;
  while (c->sent_bytes < total) {
    struct iovec part[2]; int n = 0; long done = c->sent_bytes;
    if (done < c->head_len) { part[n++] = (struct iovec){c->head + done, c->head_len - done}; done = 0; } else done -= c->head_len;
    if (done < body_len) part[n++] = (struct iovec){body + done, body_len - done};
    struct msghdr m = {.msg_iov = part, .msg_iovlen = n};
    ssize_t w = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (w < 0) { if (errno == EAGAIN) watch(c, EPOLL_CTL_MOD, 1); return; }  // a broken connection shows when it is read
    c->sent_bytes += w;
    if (c->sent_bytes < total) watch(c, EPOLL_CTL_MOD, 1);
  }
}
static void send_call(Connection *c, u64 intended, u64 due) {
  char key[256];
  snprintf(key, sizeof key, key_format, (int)((sticky ? (u64)c->index : calls_sent) % keys));
  c->head_len = snprintf(c->head, HEAD_BYTES, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
    "Content-Type: application/json\r\nContent-Length: %ld\r\n%s\r\n", path, port, key, body_len, extra);
  calls_sent++;
  c->busy = 1; c->used = 0; c->in_body = 0; c->sent_bytes = 0;
  c->intended = intended; c->due = due;
  write_request(c);
}
static void arrive(u64 intended, u64 due) {
  if (intended >= measured_from) keep(&lateness, due - intended);
  if (idle_count) { int i = idle[idle_head]; idle_head = (idle_head + 1) % connections; idle_count--; send_call(pool + i, intended, due); }
  else if (waiting_tail - waiting_head < BACKLOG) { u64 *w = waiting[waiting_tail++ % BACKLOG]; w[0] = intended; w[1] = due; }
  else overflow++;
}
static void free_again(Connection *c, u64 now) {
  c->busy = 0;
  if (rate == 0) { if (now < ends) send_call(c, now, now); }
  else if (waiting_head != waiting_tail) { u64 *w = waiting[waiting_head++ % BACKLOG]; send_call(c, w[0], w[1]); }
  else make_idle(c);
}
static void call_ended(Connection *c) {
  u64 now = now_ns();
  if (c->intended >= measured_from && c->intended < ends) {
    answered++;
    keep(&from_intended, now - c->intended);
    keep(&from_due, now - c->due);
    if (c->status < 200 || c->status > 299) non_2xx++;
  }
  if ((c->status < 200 || c->status > 299) && !told++) fprintf(stderr, "%.*s\n", c->used < 600 ? c->used : 600, c->answer);
  free_again(c, now);
}
static void broken(Connection *c) {
  int was_busy = c->busy;
  close(c->fd);
  dial(c);
  reconnects++;
  if (!was_busy) return;               // an idle connection stays in the idle ring, now with a new socket
  errors++;
  free_again(c, now_ns());
}
// Takes what was read. Gives 1 when the answer is whole.
static int take(Connection *c, const char *p, long n) {
  if (!c->in_body) {
    long room = ANSWER_HEAD_BYTES - 1 - c->used, copy = n < room ? n : room;
    memcpy(c->answer + c->used, p, copy); c->used += copy; c->answer[c->used] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) { if (copy < n) { fprintf(stderr, "answer head too long\n"); exit(1); } return 0; }
    c->status = atoi(c->answer + 9);
    long head = end + 4 - c->answer, extra = n - copy;
    char *h = strcasestr(c->answer, "\r\ncontent-length:");
    c->chunked = !(h && h < end);
    c->in_body = 1;
    if (!c->chunked) { c->left = atol(h + 17) - (c->used - head) - extra; return c->left <= 0; }
    h = strcasestr(c->answer, "\r\ntransfer-encoding: chunked");
    if (!h || h > end) { fprintf(stderr, "answer without framing: %.300s\n", c->answer); exit(1); }
    p = c->answer + head; n = c->used - head;
    memset(c->tail, 0, 5);
    if (extra) { fprintf(stderr, "chunked answer too long for one read\n"); exit(1); }
  } else if (!c->chunked) { c->left -= n; return c->left <= 0; }
  if (n >= 5) memcpy(c->tail, p + n - 5, 5); else { memmove(c->tail, c->tail + n, 5 - n); memcpy(c->tail + 5 - n, p, n); }
  return !memcmp(c->tail, "0\r\n\r\n", 5);
}
static void readable(Connection *c) {
  static char buffer[1 << 18];
  ssize_t r = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (r < 0 && errno == EAGAIN) return;
  if (r <= 0 || !c->busy) { broken(c); return; }
  if (take(c, buffer, r)) call_ended(c);
}
static void parse(int count, char **arguments) {
  for (int i = 1; i < count; i++) {
    char *eq = strchr(arguments[i], '='); if (!eq) { fprintf(stderr, "name=value expected: %s\n", arguments[i]); exit(2); }
    *eq = 0; const char *n = arguments[i], *v = eq + 1;
    if (!strcmp(n, "port")) port = atoi(v); else if (!strcmp(n, "rate")) rate = atof(v); else if (!strcmp(n, "seconds")) seconds = atof(v);
    else if (!strcmp(n, "warm")) warm = atof(v); else if (!strcmp(n, "connections")) connections = atoi(v); else if (!strcmp(n, "keys")) keys = atoi(v);
    else if (!strcmp(n, "key")) key_format = v; else if (!strcmp(n, "sticky")) sticky = atoi(v); else if (!strcmp(n, "body")) body_bytes = atoi(v);
    else if (!strcmp(n, "seed")) seed = strtoull(v, NULL, 10) * 0x9E3779B97F4A7C15ull | 1; else if (!strcmp(n, "model")) model = v;
    else if (!strcmp(n, "path")) path = v;
    else if (!strcmp(n, "extra")) { int used = 0; char *lines = strdup(v); for (char *one = strtok(lines, "|"); one; one = strtok(NULL, "|")) used += snprintf(extra + used, sizeof extra - used, "%s\r\n", one); }
    else { fprintf(stderr, "unknown: %s\n", n); exit(2); }
  }
}
int main(int count, char **arguments) {
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct rlimit limit = {65536, 65536}; setrlimit(RLIMIT_NOFILE, &limit);
  prctl(PR_SET_TIMERSLACK, 1ul);
  parse(count, arguments);
  body = malloc(body_bytes + 512);
  body_len = sprintf(body, "{\"model\":\"%s\",\"max_tokens\":1024,\"messages\":[{\"role\":\"user\",\"content\":\"", model);
  while (body_len < body_bytes - 4) { memcpy(body + body_len, "word ", 5); body_len += 5; }
  body_len += sprintf(body + body_len, "\"}]}");
  pool = calloc(connections, sizeof *pool); idle = calloc(connections, sizeof *idle); waiting = malloc(BACKLOG * sizeof *waiting);
  epoll = epoll_create1(0);
  for (int i = 0; i < connections; i++) { pool[i].index = i; dial(pool + i); if (rate > 0) make_idle(pool + i); }
  began = now_ns(); measured_from = began + (u64)(warm * 1e9); ends = measured_from + (u64)(seconds * 1e9);
  u64 next = began, give_up = ends + 5000000000ull;
  if (rate == 0) { next = UINT64_MAX; for (int i = 0; i < connections; i++) send_call(pool + i, began, began); }
  static struct epoll_event events[1024];
  for (;;) {
    u64 now = now_ns();
    while (next <= now && next < ends) { arrive(next, now); next += next_gap(); now = now_ns(); }
    int busy = 0; if (now >= ends) { for (int i = 0; i < connections; i++) busy += pool[i].busy; if (!busy || now > give_up) { errors += busy + (waiting_tail - waiting_head); break; } }
    u64 until = now >= ends ? now + 5000000 : next < ends ? next : ends, gap = until > now ? until - now : 0;
    struct timespec wait = {gap / 1000000000ull, gap % 1000000000ull};
    int n = epoll_pwait2(epoll, events, 1024, &wait, NULL);
    for (int i = 0; i < n; i++) {
      Connection *c = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) { watch(c, EPOLL_CTL_MOD, 0); write_request(c); }
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
    }
  }
  printf("{\"asked_per_s\":%.0f,\"sent\":%llu,\"rps\":%.1f,\"answered\":%llu,\"non2xx\":%llu,\"errors\":%llu,\"reconnects\":%llu,\"body\":%ld",
    rate, (unsigned long long)calls_sent, answered / seconds, (unsigned long long)answered, (unsigned long long)non_2xx, (unsigned long long)(errors + overflow), (unsigned long long)reconnects, body_len);
  print_quantiles("latency_us", &from_intended);
  print_quantiles("due_us", &from_due);
  print_quantiles("generator_late_us", &lateness);
  printf("}\n");
  return 0;
}
