// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "fiber_internal.h"
#include "quiesce_inbox.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_EXPLORER
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { alternate_size = 64 * 1024, watched_count = 7 };
static const int watched[watched_count] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGURG};
static struct sigaction former[watched_count];
static pthread_once_t installed = PTHREAD_ONCE_INIT;

// Stuck fibers are stopped by a signal that nothing else sends by default and whose default action
// is to be ignored.
const int32_t quiesce_trap_stuck = SIGURG;

static _Thread_local struct {
    int users;
    quiesce_fiber *host, **running;
    quiesce_trap *trap;
    void (*fatal)(void *);
    void *context;
    void *alternate, *landing;
    // What is known of a trap while its frames are walked: on a stack that the program has
    // destroyed, the walk itself traps.
    quiesce_trap found;
    bool is_walking;
    // How often in a row a stuck fiber was met inside the allocator.
    int deferred;
    sigset_t former_mask;
    stack_t former_stack;
} state;

const char *quiesce_symbol_name(uintptr_t address, uintptr_t *offset) {
    Dl_info info;
    *offset = 0;
    if (!dladdr((void *)address, &info) || !info.dli_sname) return NULL;
    *offset = address - (uintptr_t)info.dli_saddr;
    return info.dli_sname;
}

int32_t quiesce_backtrace(uintptr_t *frames, int32_t capacity) { return backtrace((void **)frames, capacity); }

const char *quiesce_module_name(uintptr_t address, uintptr_t *offset) {
    Dl_info info;
    if (!dladdr((void *)address, &info) || !info.dli_fname) return NULL;
    *offset = address - (uintptr_t)info.dli_fbase;
    return info.dli_fname;
}

bool quiesce_start_tool(char **arguments, int32_t *input, int32_t *output) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0) return false;
    if (pipe2(from, O_CLOEXEC) != 0) return close(to[0]), close(to[1]), false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child;
    bool started = posix_spawn(&child, arguments[0], &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    if (!started) return close(to[1]), close(from[0]), false;
    *input = to[1];
    *output = from[0];
    return true;
}

// Of the Swift runtime; weak, so that C programs link these shims too.
extern char *swift_demangle(const char *, size_t, char *, size_t *, uint32_t) __attribute__((weak));

char *quiesce_demangle(const char *name) {
    return swift_demangle ? swift_demangle(name, strlen(name), NULL, NULL, 0) : NULL;
}

void quiesce_free_text(char *text) { free(text); }

static void write_text(const char *text) {
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void write_number(uint32_t number) {
    char digits[11];
    char *next = digits + sizeof digits - 1;
    *next = 0;
    do *--next = (char)('0' + number % 10);
    while (number /= 10);
    write_text(next);
}

void quiesce_report_fatal(const uint32_t *schedule, int32_t count) {
    write_text("quiesce: the program under test trapped inside the memory allocator, so the process cannot go on. Schedule: ");
    for (int32_t i = 0; i < count; i++) {
        if (i > 0) write_text(",");
        write_number(schedule[i] & 0x7fff);
        if (schedule[i] & 0x8000) write_text("f");
        if (schedule[i] >> 16) write_text("."), write_number((schedule[i] >> 16) - 1);
    }
    write_text("\n");
}

// Not `strcmp`: a sanitizer puts its own in place, which is no function for a signal handler.
static bool is_same(const char *one, const char *other) {
    while (*one && *one == *other) one++, other++;
    return *one == *other;
}

static bool is_allocator(uintptr_t address) {
    // glibc exports its entry points under several names; which of them an address has is its
    // choice.
    static const char *const names[] = {
        "malloc", "free", "cfree", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign",
        "__libc_malloc", "__libc_free", "__libc_calloc", "__libc_realloc", "__libc_memalign",
    };
    uintptr_t offset;
    const char *name = quiesce_symbol_name(address, &offset);
    if (!name) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_same(name, names[i])) return true;
    return false;
}

// Runs on the landing stack, outside the handler, so that signals are unblocked again. What the
// interrupted functions had on the alternate stack is gone, which a sanitizer cannot know.
static __attribute__((noreturn, no_sanitize("address"))) void land(void) {
    quiesce_forget_frames(state.alternate, alternate_size);
    quiesce_fiber_resume(state.host);
}

// The frames below the one that trapped, found by the tables that exception handling uses: the
// allocator keeps no frame pointers.
static void walk_frames(quiesce_trap *trap, uintptr_t pc) {
    void *found[40];
    int count = backtrace(found, 40), first = 0;
    while (first < count && (uintptr_t)found[first] != pc) first++;
    for (int i = first + 1; i < count && trap->depth < 24; i++) trap->frames[trap->depth++] = (uintptr_t)found[i];
}

static void pass_on(int signal, siginfo_t *info, void *context) {
    for (int i = 0; i < watched_count; i++) {
        if (watched[i] != signal) continue;
        struct sigaction *old = &former[i];
        if (old->sa_flags & SA_SIGINFO && old->sa_sigaction) {
            old->sa_sigaction(signal, info, context);
        } else if (old->sa_handler == SIG_DFL) {
            if (signal == SIGURG) return;
            sigaction(signal, old, NULL);
            raise(signal);
        } else if (old->sa_handler != SIG_IGN) {
            old->sa_handler(signal);
        }
    }
}

// Where the thread was and how it came there. Where this is called again within itself, the walk
// has trapped: what was known then is all that can be known.
static void describe(int signal, const siginfo_t *info, const ucontext_t *context) {
    if (state.is_walking) return;
    quiesce_trap *trap = &state.found;
#if defined(__x86_64__)
    trap->instruction = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#else
    trap->instruction = context->uc_mcontext.pc;
#endif
    trap->address = signal == SIGSEGV || signal == SIGBUS ? (uintptr_t)info->si_addr : 0;
    trap->signal = signal;
    trap->depth = 0;
    state.is_walking = true;
    walk_frames(trap, trap->instruction);
    state.is_walking = false;
}

// Whether the allocator's locks may be held: then nothing of this process can be trusted to go on.
static bool is_in_allocator(const quiesce_trap *trap) {
    bool result = is_allocator(trap->instruction);
    if (trap->signal == SIGABRT || trap->signal == SIGSEGV || trap->signal == SIGBUS || trap->signal == SIGURG)
        for (int i = 0; i < trap->depth && i < 8; i++) result = result || is_allocator(trap->frames[i]);
    return result;
}

// A thread that nobody explores has trapped. If it worked for an exploration, the thread stands
// still for ever, with all that it holds, and that exploration has its verdict. The main thread
// works for nobody, and neither does a thread to which another process sent the signal.
static void stand_still_if_foreign(int signal, const siginfo_t *info, const ucontext_t *context) {
    bool is_own_doing = info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());
    if (state.users > 0 || signal == SIGURG || !is_own_doing || gettid() == getpid()) return;
    describe(signal, info, context);
    state.is_walking = false;
    if (is_in_allocator(&state.found) || !quiesce_inbox_take_over_trap(&state.found)) return;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) pause();
}

static void handle(int signal, siginfo_t *info, void *raw) {
    ucontext_t *context = raw;
    quiesce_fiber *fiber = state.users > 0 && state.running ? *state.running : NULL;
    bool asked = info->si_code == SI_QUEUE && info->si_value.sival_int == quiesce_trap_stuck;
    if (!fiber) stand_still_if_foreign(signal, info, context);
    if (!fiber || (signal == SIGURG && !asked)) return pass_on(signal, info, raw);
    describe(signal, info, context);
    state.is_walking = false;
    bool fatal = is_in_allocator(&state.found);
    // A fiber that computes for ever is often in the allocator, which it leaves again: the next
    // request will meet it elsewhere. One that is always met there waits for a lock of it.
    if (fatal && signal == SIGURG && state.deferred++ < 100) return;
    if (fatal) {
        state.fatal(state.context);
        *state.running = NULL;
        return pass_on(signal == SIGURG ? SIGABRT : signal, info, raw);
    }
    state.deferred = 0;
    // Not earlier: a fiber that is left to go on has not trapped. From here on nothing else stops
    // it.
    *state.trap = state.found;
    *state.running = NULL;
    uintptr_t top = ((uintptr_t)state.landing + alternate_size) & ~(uintptr_t)15;
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)(top - 8);
    context->uc_mcontext.gregs[REG_RBP] = 0;
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)land;
#else
    context->uc_mcontext.sp = top;
    context->uc_mcontext.regs[29] = 0;
    context->uc_mcontext.pc = (uintptr_t)land;
#endif
}

static void install(void) {
    // Loads what `backtrace` needs, which a signal handler must not do.
    void *unused[1];
    backtrace(unused, 1);
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
    // The watchdog asks again and again, also while an answer is on its way. A real trap inside the
    // handler is let through: blocked, it would end the process.
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGURG);
    for (int i = 0; i < watched_count; i++) sigaction(watched[i], &action, &former[i]);
}

static void *map_stack(void) {
    void *stack = mmap(NULL, alternate_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) abort();
    return stack;
}

void quiesce_trap_begin(quiesce_fiber *host, quiesce_fiber **running, quiesce_trap *trap, void (*fatal)(void *), void *context) {
    pthread_once(&installed, install);
    state.host = host;
    state.running = running;
    state.trap = trap;
    state.fatal = fatal;
    state.context = context;
    if (state.users++ > 0) return;
    if (!state.alternate) {
        state.alternate = map_stack();
        state.landing = map_stack();
    }
    stack_t stack = {.ss_sp = state.alternate, .ss_size = alternate_size};
    sigaltstack(&stack, &state.former_stack);
    // Threads of a pool may block the signal by which the watchdog stops a stuck fiber.
    sigset_t ours;
    sigemptyset(&ours);
    for (int i = 0; i < watched_count; i++) sigaddset(&ours, watched[i]);
    pthread_sigmask(SIG_UNBLOCK, &ours, &state.former_mask);
}

void quiesce_trap_end(void) {
    if (--state.users > 0) return;
    pthread_sigmask(SIG_SETMASK, &state.former_mask, NULL);
    // What the thread had before: a sanitizer's or another library's, or none.
    sigaltstack(&state.former_stack, NULL);
    munmap(state.alternate, alternate_size);
    munmap(state.landing, alternate_size);
    state.alternate = state.landing = NULL;
    state.running = NULL;
}

bool quiesce_trap_is_begun(void) { return state.users > 0; }

void quiesce_trap_interrupt(int32_t tid) {
    // The value tells our request from a signal that somebody else sends.
    siginfo_t info = {.si_signo = SIGURG, .si_code = SI_QUEUE};
    info.si_value.sival_int = quiesce_trap_stuck;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGURG, &info);
}
#endif
