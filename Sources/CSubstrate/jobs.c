// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "quiesce_jobs.h"
#include "fiber_internal.h"
#include "quiesce_inbox.h"
#include "quiesce_interpose.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_EXPLORER
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// The pointers through which the runtime announces. Weak: a toolchain without them links, and
// `listen` says no.
extern void (*_swift_tsan_acquire)(void *) __attribute__((weak));
extern void (*_swift_tsan_release)(void *) __attribute__((weak));
extern bool swift_isUniquelyReferenced_nonNull_native(const void *) __attribute__((weak));
extern void swift_release(void *) __attribute__((weak));
extern void *swift_task_getCurrent(void) __attribute__((weak));
extern void swift_task_cancel(void *) __attribute__((weak));
extern uint64_t swift_task_getJobTaskId(void *) __attribute__((weak));
extern const char *swift_task_getCurrentTaskName(void) __attribute__((weak));

// What is read of the runtime's own structures, as Swift 6.3 lays them out. A test of the
// explorer's compares what it sees with what a program is known to do, so that another layout does
// not go unnoticed.
enum {
    // Of a job; all but the status are part of the stable binary interface.
    job_kind = 0x20, job_priority = 0x21, job_resume = 0x38, job_context = 0x40,
    // Of a task: the list of its task-local values, and a word of flags.
    task_locals = 0x88, task_status = 0x60, status_cancelled = 0x100, status_queued = 0x1000, status_completed = 0x2000, status_depends = 0x4000,
    // Of a task, what it waits for, and of that the executor in whose queue it is.
    task_dependency = 0xa0, dependency_executor = 0x10, dependency_kind = 0x20, queued_on_executor = 4,
    // Of what a thread keeps about the executor it runs: whether a task may take the thread along
    // to another one.
    tracking_may_switch = 0x20,
    priority_default = 0x15,
};

static void (*former_acquire)(void *), (*former_release)(void *);
static quiesce_job_listener listener;
static const void *task_type;

static inline uint32_t status_of(const void *task) {
    return __atomic_load_n((const uint32_t *)((const char *)task + task_status), __ATOMIC_RELAXED);
}

// Not everything that is announced is a task: the runtime does so for its one-time initializations
// too.
static inline bool is_task(const void *address) {
    const void *type = __atomic_load_n(&task_type, __ATOMIC_RELAXED);
    return ((uintptr_t)address & 15) == 0 && type && *(void *const *)address == type;
}

// Whether this thread's observer wants to know of the order of tasks.
static _Thread_local bool wants_order __attribute__((tls_model("initial-exec")));

void quiesce_jobs_want_order(bool wants) { wants_order = wants; }

static void on_release(void *address) {
    void (*former)(void *) = __atomic_load_n(&former_release, __ATOMIC_RELAXED);
    if (former) former(address);
    void *observer = quiesce_thread_block.observer;
    if (!(observer || quiesce_inbox_any()) || !is_task(address)) return;
    if (observer && wants_order) listener.releases(observer, address);
    uint32_t status = status_of(address);
    if (!observer) {
        if (status & status_completed) quiesce_inbox_tell(quiesce_arrival_completed, address, NULL);
        else if (status & status_queued) quiesce_inbox_tell(quiesce_arrival_queued, address, quiesce_jobs_destination(address));
        else if (address != quiesce_jobs_current()) quiesce_inbox_note(address);
        return;
    }
    if (status & status_completed) listener.completed(observer, address);
    else if (status & status_queued) listener.queued(observer, address);
    else if (address != quiesce_jobs_current()) listener.touches(observer, address);
}

static inline char *tracking(void) {
    uint64_t *word = quiesce_concurrency_word(executor_tracking);
    return word ? (char *)*word : NULL;
}

static void on_acquire(void *address) {
    void (*former)(void *) = __atomic_load_n(&former_acquire, __ATOMIC_RELAXED);
    if (former) former(address);
    void *observer = quiesce_thread_block.observer;
    if (!(observer || quiesce_inbox_any()) || !is_task(address)) return;
    if (observer && wants_order) listener.acquires(observer, address);
    // A thread that cancels a task, or finds it complete, acquires it too; but one that is about to
    // run one has an executor and no task yet.
    bool runs = (status_of(address) & (status_queued | status_completed)) == status_queued
        && tracking() && !quiesce_jobs_current();
    if (!observer) {
        if (runs) quiesce_inbox_tell(quiesce_arrival_begins, address, NULL);
        else if (address != quiesce_jobs_current()) quiesce_inbox_note(address);
        return;
    }
    if (runs) listener.begins(observer, address);
    else if (address != quiesce_jobs_current()) listener.touches(observer, address);
}

// Where the runtime locks the mutexes of asynchronous streams, all of them in one function.
static uintptr_t stream_place;
static _Thread_local bool learns_stream_place;

void quiesce_jobs_learn_stream(void (*use)(void)) {
    learns_stream_place = true;
    use();
    learns_stream_place = false;
}

// The locks of the runtime, which would not keep one fiber from another of the same thread.
static int lock_mutex(pthread_mutex_t *mutex) {
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    if (learns_stream_place) __atomic_store_n(&stream_place, place, __ATOMIC_RELAXED);
    void *observer = quiesce_thread_block.observer;
    if (observer) listener.locks(observer, mutex, place == __atomic_load_n(&stream_place, __ATOMIC_RELAXED));
    // The call is the runtime's, not the program's.
    quiesce_mute();
    int result = pthread_mutex_lock(mutex);
    quiesce_unmute();
    return result;
}

static int unlock_mutex(pthread_mutex_t *mutex) {
    int result = pthread_mutex_unlock(mutex);
    void *observer = quiesce_thread_block.observer;
    if (observer) listener.unlocks(observer, mutex);
    return result;
}

// The runtime's clocks go with the explored one.
static int get_time(clockid_t clock, struct timespec *time) {
    void *observer = quiesce_thread_block.observer;
    uint64_t now = observer ? listener.now(observer) : 0;
    if (now == 0) return clock_gettime(clock, time);
    time->tv_sec = (time_t)(now / 1000000000);
    time->tv_nsec = (long)(now % 1000000000);
    return 0;
}

static void (*real_cancel)(void *), (*real_cancel_all)(void *);

static void cancel(void *task) {
    void *observer = quiesce_thread_block.observer;
    if (observer) listener.cancels(observer, task);
    else if (quiesce_inbox_any()) quiesce_inbox_note(task);
    __atomic_load_n(&real_cancel, __ATOMIC_RELAXED)(task);
}

static void cancel_all(void *group) {
    void *observer = quiesce_thread_block.observer;
    if (observer) listener.cancels(observer, NULL);
    __atomic_load_n(&real_cancel_all, __ATOMIC_RELAXED)(group);
}

// Work is handed to a thread that is not explored, or one may be woken.
static void hand(bool may_only_wake) {
    void *observer = quiesce_thread_block.observer;
    if (observer) listener.hands(observer, may_only_wake);
}

#define FUNCTIONS_THAT_HAND(X) \
    X(pthread_create) \
    X(dispatch_async) X(dispatch_async_f) X(dispatch_barrier_async) X(dispatch_barrier_async_f) \
    X(dispatch_group_async) X(dispatch_group_async_f) \
    X(dispatch_group_notify) X(dispatch_group_notify_f) X(dispatch_block_notify) \
    X(dispatch_after) X(dispatch_after_f) X(dispatch_apply) X(dispatch_apply_f) \
    X(dispatch_activate) X(dispatch_resume) X(dispatch_source_merge_data) \
    X(dispatch_read) X(dispatch_write) X(dispatch_io_read) X(dispatch_io_write)

#define FUNCTIONS_THAT_MAY_WAKE(X) \
    X(dispatch_semaphore_signal) X(dispatch_group_leave) \
    X(pthread_cond_signal) X(pthread_cond_broadcast) X(sem_post) X(eventfd_write) X(kill) X(pthread_kill)

#define HANDS(name) QUIESCE_CALL(name, hand(false))
#define MAY_WAKE(name) QUIESCE_CALL(name, hand(true))
FUNCTIONS_THAT_HAND(HANDS)
FUNCTIONS_THAT_MAY_WAKE(MAY_WAKE)

// A few bytes for a pipe or an event descriptor may wake a thread; more is something to read.
static ssize_t (*real_write)(int, const void *, size_t);

static ssize_t call_write(int descriptor, const void *bytes, size_t count) {
    if (descriptor > STDERR_FILENO && count <= sizeof(uint64_t)) hand(true);
    return __atomic_load_n(&real_write, __ATOMIC_RELAXED)(descriptor, bytes, count);
}

// False where the runtime is not a library of its own, so that its calls are not seen.
static bool interpose(void) {
    static const char runtime[] = "libswift_Concurrency.so";
    // Its own functions, whatever the executable calls by their names.
    void *library = dlopen(runtime, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return false;
    __atomic_store_n(&real_cancel, (void (*)(void *))dlsym(library, "swift_task_cancel"), __ATOMIC_RELAXED);
    __atomic_store_n(&real_cancel_all, (void (*)(void *))dlsym(library, "swift_taskGroup_cancelAll"), __ATOMIC_RELAXED);
    if (!real_cancel || !real_cancel_all) return false;
    quiesce_replacement replacements[] = {
        {"pthread_mutex_lock", (void *)lock_mutex, runtime},
        {"pthread_mutex_unlock", (void *)unlock_mutex, runtime},
        {"clock_gettime", (void *)get_time, runtime},
        // Swift's methods that cancel do nothing else; optimised code calls the runtime itself.
        {"swift_task_cancel", (void *)cancel, NULL},
        {"$sScT6cancelyyF", (void *)cancel, NULL},
        {"$sSct6cancelyyF", (void *)cancel, NULL},
        {"swift_taskGroup_cancelAll", (void *)cancel_all, NULL},
        {"$sScG9cancelAllyyF", (void *)cancel_all, NULL},
        {"$sScg9cancelAllyyF", (void *)cancel_all, NULL},
        {"$ss19DiscardingTaskGroupV9cancelAllyyF", (void *)cancel_all, NULL},
        {"$ss27ThrowingDiscardingTaskGroupV9cancelAllyyF", (void *)cancel_all, NULL},
        FUNCTIONS_THAT_HAND(QUIESCE_REPLACEMENT) FUNCTIONS_THAT_MAY_WAKE(QUIESCE_REPLACEMENT) QUIESCE_REPLACEMENT(write)
    };
    quiesce_interpose(replacements, sizeof replacements / sizeof *replacements);
    return replacements[0].found && replacements[1].found && replacements[2].found;
}

bool quiesce_jobs_listen(const quiesce_job_listener *new_listener) {
    if (!&_swift_tsan_acquire || !&_swift_tsan_release || !quiesce_concurrency_word(current_task)) return false;
    if (_swift_tsan_release == on_release) return true;
    listener = *new_listener;
    if (!interpose()) return false;
    __atomic_store_n(&former_acquire, _swift_tsan_acquire, __ATOMIC_RELAXED);
    __atomic_store_n(&former_release, _swift_tsan_release, __ATOMIC_RELAXED);
    __atomic_store_n(&_swift_tsan_acquire, on_acquire, __ATOMIC_RELEASE);
    __atomic_store_n(&_swift_tsan_release, on_release, __ATOMIC_RELEASE);
    return true;
}

void quiesce_jobs_learn(const void *task) {
    if (*((const uint8_t *)task + job_kind) == 0) __atomic_store_n(&task_type, *(void *const *)task, __ATOMIC_RELAXED);
}

void quiesce_jobs_leave_by_queue(void) {
    char *info = tracking();
    if (info) info[tracking_may_switch] = 0;
}

void *quiesce_jobs_current(void) {
    uint64_t *word = quiesce_concurrency_word(current_task);
    if (word) return (void *)(uintptr_t)*word;
    return swift_task_getCurrent ? swift_task_getCurrent() : NULL;
}

void *quiesce_jobs_destination(const void *task) {
    const char *dependency = *(const char *const *)((const char *)task + task_dependency);
    if (!(status_of(task) & status_depends) || !dependency) return NULL;
    if (*(const uint32_t *)(dependency + dependency_kind) != queued_on_executor) return NULL;
    return *(void *const *)(dependency + dependency_executor);
}

void quiesce_jobs_level(void *job) { *((uint8_t *)job + job_priority) = priority_default; }

int32_t quiesce_jobs_frames(const void *task, uintptr_t *frames, int32_t capacity) {
    typedef struct context {
        struct context *parent;
        uintptr_t resume_parent;
    } context;
    int32_t count = 0;
    frames[count++] = *(const uintptr_t *)((const char *)task + job_resume);
    const context *next = *(context *const *)((const char *)task + job_context);
    while (next && count < capacity && next->resume_parent) {
        frames[count++] = next->resume_parent;
        next = next->parent;
    }
    return count;
}

const char *quiesce_jobs_name(void *task) {
    uint64_t *word = quiesce_concurrency_word(current_task);
    if (!word || !swift_task_getCurrentTaskName) return NULL;
    uint64_t current = *word;
    *word = (uint64_t)(uintptr_t)task;
    const char *name = swift_task_getCurrentTaskName();
    *word = current;
    return name;
}

void quiesce_jobs_lend_locals(quiesce_fiber *fiber, const void *task) {
    if (!quiesce_concurrency_word(fallback_values)) return;
    fiber->lent_locals = *(void *const *)((const char *)task + task_locals);
    fiber->concurrency[fallback_values] = (uint64_t)(uintptr_t)&fiber->lent_locals;
}

bool quiesce_jobs_is_cancelled(const void *task) { return status_of(task) & status_cancelled; }

uint64_t quiesce_jobs_identity(void *task) {
    return swift_task_getJobTaskId ? swift_task_getJobTaskId(task) : 0;
}

void quiesce_release_to_last(void *object) {
    if (!swift_isUniquelyReferenced_nonNull_native || !swift_release) return;
    while (!swift_isUniquelyReferenced_nonNull_native(object)) swift_release(object);
}

void quiesce_jobs_cancel(void *task) {
    if (real_cancel) real_cancel(task);
    else if (swift_task_cancel) swift_task_cancel(task);
}
#endif
