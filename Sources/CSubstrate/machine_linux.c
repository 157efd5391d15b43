// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "quiesce_machine.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_MACHINE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec to_timespec(uint64_t nanoseconds) {
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
}

int32_t quiesce_futex_wait(const void *word, uint32_t expected, uint64_t deadline) {
    struct timespec limit = to_timespec(deadline);
    // The bitset form takes an absolute deadline, so a wait that is restarted keeps its end.
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline ? &limit : NULL, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    return result == -1 && errno == ETIMEDOUT ? ETIMEDOUT : 0;
}

int32_t quiesce_futex_wake(const void *word, int32_t count) {
    return (int32_t)syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}

bool quiesce_is_readable(const void *word) {
    // A wait whose deadline has passed looks at the word and nothing else.
    struct timespec past = {0};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &past, NULL, FUTEX_BITSET_MATCH_ANY) == 0 ||
           errno != EFAULT;
}

bool quiesce_membarrier_register(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool quiesce_membarrier(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0; }

void quiesce_yield(void) { sched_yield(); }

uint64_t quiesce_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void quiesce_sleep_until(uint64_t deadline) {
    struct timespec limit = to_timespec(deadline);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &limit, NULL) == EINTR) {}
}

int32_t quiesce_processor_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int32_t)count : 1;
}

// Kept: a system call takes longer than the locks that ask.
static _Thread_local int32_t thread_id __attribute__((tls_model("initial-exec")));

int32_t quiesce_thread_id(void) {
    if (!thread_id) thread_id = (int32_t)syscall(SYS_gettid);
    return thread_id;
}

bool quiesce_thread_name(int32_t tid, char name[16]) {
    char path[48];
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t length = read(file, name, 15);
    close(file);
    if (length <= 0) return false;
    if (name[length - 1] == '\n') length--;
    name[length] = 0;
    return true;
}

void quiesce_write_error(const void *bytes, size_t count) {
    ssize_t ignored = write(STDERR_FILENO, bytes, count);
    (void)ignored;
}

size_t quiesce_allocated_size(const void *address) { return malloc_usable_size((void *)address); }

struct start {
    void (*body)(void *);
    void *context;
};

static void *run_start(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    start.body(start.context);
    return NULL;
}

// All but those that tell of what the thread itself has done, and what a profiler sends.
static void fill_with_others_signals(sigset_t *set) {
    static const int own[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGPIPE, SIGPROF};
    sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(set, own[i]);
}

int32_t quiesce_thread_start(unsigned long *handle, const char *name, bool blocks_signals, void (*body)(void *),
                             void *context) {
    struct start *start = malloc(sizeof *start);
    if (!start) return ENOMEM;
    *start = (struct start){body, context};
    pthread_t thread;
    // It begins with the mask of the thread that starts it.
    sigset_t blocked, before;
    if (blocks_signals) {
        fill_with_others_signals(&blocked);
        pthread_sigmask(SIG_SETMASK, &blocked, &before);
    }
    int error = pthread_create(&thread, NULL, run_start, start);
    if (blocks_signals) pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(start);
        return error;
    }
    if (name) {
        // The kernel keeps 15 characters.
        char short_name[16] = {0};
        for (int i = 0; i < 15 && name[i]; i++) short_name[i] = name[i];
        pthread_setname_np(thread, short_name);
    }
    *handle = (unsigned long)thread;
    return 0;
}

void quiesce_thread_join(unsigned long handle) { pthread_join((pthread_t)handle, NULL); }
void quiesce_thread_detach(unsigned long handle) { pthread_detach((pthread_t)handle); }

static void run_before_fork(void) {
    if (quiesce_make_constants) quiesce_make_constants();
    quiesce_before_fork();
}

static void run_in_child(void) {
    // The child's thread has another number.
    thread_id = 0;
    quiesce_after_fork_in_child();
}

// When the program is loaded: no thread can be in the middle of its first use at a fork that is not
// heard of.
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(run_before_fork, quiesce_after_fork_in_parent, run_in_child);
}

void quiesce_keep(const void *value) { (void)value; }
#endif
