// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_JOBS_H
#define QUIESCE_JOBS_H

#include "quiesce_fiber.h"
#include <stdbool.h>
#include <stdint.h>

// What the Swift runtime tells of its jobs.
//
// For thread sanitizers the runtime announces what orders its tasks: it *releases* a task where it
// queues or completes it and *acquires* it right before it runs it, on a default actor as well,
// whose queue no executor sees. Each announcement is a call through a pointer that libswiftCore
// exports. An explorer listens there; a sanitizer that listened before still hears all.

/// Functions that are told of the tasks of observed threads. Each gets the thread's observer.
typedef struct quiesce_job_listener {
    /// `task` is about to be put into a queue.
    void (*_Nonnull queued)(void *_Nonnull observer, void *_Nonnull task);
    /// `task` is about to run on this thread.
    void (*_Nonnull begins)(void *_Nonnull observer, void *_Nonnull task);
    /// `task` has completed; it is still alive.
    void (*_Nonnull completed)(void *_Nonnull observer, void *_Nonnull task);
    /// The running task orders itself with `task`: cancels it, asks for its value.
    void (*_Nonnull touches)(void *_Nonnull observer, void *_Nonnull task);
    /// What the running thread did so far happens before what a thread does that acquires `task`
    /// later. Only after `quiesce_jobs_want_order`, as `acquires`.
    void (*_Nonnull releases)(void *_Nonnull observer, void *_Nonnull task);
    void (*_Nonnull acquires)(void *_Nonnull observer, void *_Nonnull task);
    /// `task`, or with null the children of a group, are about to be cancelled.
    void (*_Nonnull cancels)(void *_Nonnull observer, void *_Nullable task);
    /// The runtime is about to lock a mutex of its own, which need not be free, and may be that of
    /// a stream; it has unlocked one.
    void (*_Nonnull locks)(void *_Nonnull observer, void *_Nonnull mutex, bool is_stream);
    void (*_Nonnull unlocks)(void *_Nonnull observer, void *_Nonnull mutex);
    /// The time of the runtime's clocks, in nanoseconds; 0 for the system's.
    uint64_t (*_Nonnull now)(void *_Nonnull observer);
    /// The running thread hands work to a thread that nobody explores, or, where it may only wake
    /// one, does what other things are done with too.
    void (*_Nonnull hands)(void *_Nonnull observer, bool may_only_wake);
} quiesce_job_listener;

/// Listens from now on. False where the runtime announces nothing.
bool quiesce_jobs_listen(const quiesce_job_listener *_Nonnull listener);

/// Says what a task looks like: `task` is one. Until then nothing is told.
void quiesce_jobs_learn(const void *_Nonnull task);

/// Makes the job that runs on this thread leave its executor by way of a queue, as if somebody else
/// held the next one: what the runtime would otherwise do in place nobody would see.
void quiesce_jobs_leave_by_queue(void);

/// The task that runs on this thread, or null.
void *_Nullable quiesce_jobs_current(void);

/// The number of `task`, which no other task of the process has; 0 where the runtime tells none.
uint64_t quiesce_jobs_identity(void *_Nonnull task);

/// The executor into whose queue `task` is about to be put; null for the pool.
void *_Nullable quiesce_jobs_destination(const void *_Nonnull task);

/// Makes an actor serve `job` in its turn, whatever its priority.
void quiesce_jobs_level(void *_Nonnull job);

/// Where a suspended task goes on: functions, innermost first, at most `capacity`. Returns how
/// many.
int32_t quiesce_jobs_frames(const void *_Nonnull task, uintptr_t *_Nonnull frames, int32_t capacity);

/// The name that was given to `task`, or null. Belongs to the task.
const char *_Nullable quiesce_jobs_name(void *_Nonnull task);

/// Gives `fiber`, which was prepared and runs no task, the task-local values of `task`, which
/// outlives it.
void quiesce_jobs_lend_locals(struct quiesce_fiber *_Nonnull fiber, const void *_Nonnull task);

/// Calls `releases` and `acquires` of the calling thread's observers from now on, or not. At
/// first they are not called.
void quiesce_jobs_want_order(bool wants);

/// Calls `use`, which locks no mutex of the runtime's but that of a stream.
void quiesce_jobs_learn_stream(void (*_Nonnull use)(void));

/// Whether `task` has been cancelled.
bool quiesce_jobs_is_cancelled(const void *_Nonnull task);

/// Gives up all references to a Swift object but one.
void quiesce_release_to_last(void *_Nonnull object);

/// Cancels `task`, which has not completed.
void quiesce_jobs_cancel(void *_Nonnull task);

#endif
