// A program with a wall clock of its own: fault_clock FILE PROGRAM ARGUMENTS. FILE says by how many seconds it is off, and may change at any time; other clocks are right.
//
// No library is preloaded, because the program is static: its calls of clock_gettime(CLOCK_REALTIME), gettimeofday and time come to a helper (seccomp_unotify(2)), and for that
// to happen it must not find the vDSO, which would answer without any call. The process is the program itself, with its own pid.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
  perror(what);
  _exit(70);
}

static int install(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_gettimeofday, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_time, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME_COARSE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("prctl");
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0) die("seccomp");
  return listener;
}

// On the stack of a program that has not run yet stand argc, the arguments, 0, the environment, 0, the auxiliary vector.
static void hide_vdso(pid_t pid) {
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, 0, &registers)) die("PTRACE_GETREGS");
  unsigned long at = registers.rsp;
#define WORD(address) ((unsigned long)ptrace(PTRACE_PEEKDATA, pid, (void *)(address), 0))
  at += 8 * (WORD(at) + 2);
  while (WORD(at)) at += 8;
  for (at += 8; WORD(at) != AT_NULL; at += 16)
    if (WORD(at) == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, pid, (void *)at, (void *)AT_IGNORE);
}

static void serve(int listener, const char *file) {
  for (;;) {
    struct pollfd ready = {listener, POLLIN, 0};
    if (poll(&ready, 1, -1) < 0 && errno == EINTR) continue;
    if (ready.revents & POLLHUP) _exit(0);  // the last one that could call has gone
    struct seccomp_notif call = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) continue;
    long off = 0;
    FILE *said = fopen(file, "r");
    if (said && fscanf(said, "%ld", &off) != 1) off = 0;
    if (said) fclose(said);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += off;
    struct timeval rough = {now.tv_sec, now.tv_nsec / 1000};
    const int is_time = call.data.nr == SYS_time, is_rough = call.data.nr == SYS_gettimeofday;
    const unsigned long to = call.data.args[call.data.nr == SYS_clock_gettime];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)call.pid);
    int memory = open(path, O_RDWR);
    if (memory >= 0 && to) {
      if (is_time) pwrite(memory, &now.tv_sec, sizeof now.tv_sec, (off_t)to);
      else if (is_rough) pwrite(memory, &rough, sizeof rough, (off_t)to);
      else pwrite(memory, &now, sizeof now, (off_t)to);
    }
    if (memory >= 0) close(memory);
    struct seccomp_notif_resp answer = {.id = call.id, .val = is_time ? now.tv_sec : 0};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 64;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
  const pid_t program = getpid();
  const pid_t between = fork();  // the program is to have no child that it does not know
  if (between < 0) die("fork");
  if (between == 0) {
    if (fork()) _exit(0);
    setsid();  // signals for the program are not for us
    int listener_number, listener;
    if (read(pair[1], &listener_number, sizeof listener_number) != sizeof listener_number) _exit(70);
    const int handle = (int)syscall(SYS_pidfd_open, program, 0);
    listener = (int)syscall(SYS_pidfd_getfd, handle, listener_number, 0);
    if (listener < 0) die("pidfd_getfd");
    if (ptrace(PTRACE_SEIZE, program, 0, PTRACE_O_TRACEEXEC)) die("PTRACE_SEIZE");
    write(pair[1], "x", 1);
    int status;
    if (waitpid(program, &status, __WALL) == program && WIFSTOPPED(status)) hide_vdso(program);
    ptrace(PTRACE_DETACH, program, 0, 0);
    for (int fd = 0; fd < 3; ++fd) close(fd);
    close(pair[0]), close(pair[1]), close(handle);
    serve(listener, argv[1]);
  }
  waitpid(between, NULL, 0);
  int listener = install();
  fcntl(listener, F_SETFD, FD_CLOEXEC);
  char ready;
  if (write(pair[0], &listener, sizeof listener) < 0 || read(pair[0], &ready, 1) != 1) die("fault_clock");
  close(pair[0]), close(pair[1]);
  execvp(argv[2], argv + 2);
  die(argv[2]);
}
