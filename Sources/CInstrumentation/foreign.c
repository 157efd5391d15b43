// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "quiesce_foreign.h"
#include "quiesce_block.h"
#include "quiesce_fiber.h"
#include "quiesce_interpose.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_EXPLORER
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static void (*told)(void *, const char *);

static void note(const char *function) {
    void *observer = quiesce_thread_block.observer;
    if (observer && !quiesce_thread_muted) told(observer, function);
}

// What waits for others, or keeps them out. (What hands work to other threads is noticed with the
// jobs of tasks.)
#define FUNCTIONS(each) \
    each(pthread_mutex_lock) each(pthread_mutex_trylock) each(pthread_mutex_timedlock) \
    each(pthread_cond_wait) each(pthread_cond_timedwait) \
    each(pthread_rwlock_rdlock) each(pthread_rwlock_wrlock) each(pthread_rwlock_tryrdlock) each(pthread_rwlock_trywrlock) \
    each(pthread_spin_lock) each(pthread_barrier_wait) each(pthread_join) \
    each(sem_wait) each(sem_trywait) each(sem_timedwait) \
    each(dispatch_sync) each(dispatch_sync_f) each(dispatch_barrier_sync) each(dispatch_async_and_wait) \
    each(dispatch_semaphore_wait) each(dispatch_group_wait) each(dispatch_block_wait)

#define NOTED(name) QUIESCE_CALL(name, note(#name))
FUNCTIONS(NOTED)

static quiesce_interposition calls = {
    .excluded = {"libc.so", "ld-linux", "libpthread", "libstdc++", "libgcc", "libdispatch.so", "libBlocksRuntime", "libFoundation",
                 "lib_Foundation", "libswiftCore", "libswift_", "libswiftSynchronization", "libTesting", "libXCTest", "lib_Testing"},
};

// Foundation's locks are calls of pthread from its own code, which has others for itself: the
// caller's name tells. A call that is the last thing a lock's function does is as if its caller
// had made it.
static bool is_lock_of_foundation(void *place) {
    Dl_info caller;
    if (!dladdr(place, &caller)) return false;
    if (!quiesce_interposition_excludes(&calls, caller.dli_fname)) return true;
    const char *name = caller.dli_sname ? caller.dli_sname : "";
    return strstr(name, "NSLock") || strstr(name, "NSRecursiveLock") || strstr(name, "NSCondition");
}

#define FOUNDATION_FUNCTIONS(each) each(pthread_mutex_lock) each(pthread_mutex_trylock) each(pthread_cond_wait)

#define FOUNDATION_HOOK(name, text) \
    static void *foundation_##name(void *a, void *b, void *c, void *d) { \
        if (quiesce_thread_block.observer && is_lock_of_foundation(__builtin_return_address(0))) note(text); \
        return __atomic_load_n(&real_##name, __ATOMIC_RELAXED)(a, b, c, d); \
    }
FOUNDATION_HOOK(pthread_mutex_lock, "a lock of Foundation's")
FOUNDATION_HOOK(pthread_mutex_trylock, "a lock of Foundation's")
FOUNDATION_HOOK(pthread_cond_wait, "a condition of Foundation's")

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static int users;
static bool is_found;
static quiesce_interposition foundation_calls;

static void find(void (*listener)(void *, const char *)) {
    if (is_found) return;
    is_found = true;
    told = listener;
    // What the toolchain's libraries call among themselves is then called by the program's file.
    if (quiesce_runtime_is_linked_in()) return;
    quiesce_replacement all[] = {FUNCTIONS(QUIESCE_REPLACEMENT)};
    quiesce_interposition_find(&calls, all, sizeof all / sizeof *all);
    quiesce_replacement of_foundation[] = {
#define OF_FOUNDATION(name) {#name, (void *)foundation_##name, "libFoundation.so"},
        FOUNDATION_FUNCTIONS(OF_FOUNDATION)
    };
    quiesce_interposition_find(&foundation_calls, of_foundation, sizeof of_foundation / sizeof *of_foundation);
}

static void set(bool on) {
    quiesce_interposition_set(&calls, on);
    quiesce_interposition_set(&foundation_calls, on);
}

void quiesce_foreign_begin(void (*listener)(void *, const char *)) {
    pthread_mutex_lock(&changing);
    find(listener);
    if (users++ == 0) set(true);
    pthread_mutex_unlock(&changing);
}

void quiesce_foreign_end(void) {
    pthread_mutex_lock(&changing);
    if (--users == 0) set(false);
    pthread_mutex_unlock(&changing);
}
#endif
