// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_INBOX_H
#define QUIESCE_INBOX_H

#include "quiesce_fiber.h"
#include <stdbool.h>
#include <stdint.h>

// What threads that are not explored do to explored tasks.
//
// Such a thread may resume, cancel, run or complete an explored task at any moment, also after the
// exploration has ended. Nothing of that runs on the thread: it leaves a message in the inbox of
// the exploration that the task belongs to, and the exploring thread reads it between two steps.
// A table of the process says which task belongs to which inbox. It outlives the explorations: a
// job of a task whose execution has ended is never run.

/// Where the messages for one exploration arrive. Only the exploring thread may read it.
typedef struct quiesce_inbox quiesce_inbox;

/// What has happened to a task on another thread.
enum quiesce_arrival_kind {
    /// The task is about to be put into the queue of `executor`; null for the pool.
    quiesce_arrival_queued = 1,
    /// The pool's executor, or the main actor's, was given the job.
    quiesce_arrival_enqueued,
    /// An executor of the program's own runs the task on a thread of its own.
    quiesce_arrival_begins,
    /// The task has completed there.
    quiesce_arrival_completed,
    /// The thread has trapped, and stands still for ever.
    quiesce_arrival_trapped,
};

typedef struct quiesce_arrival {
    void *_Nullable job, *_Nullable executor;
    uint8_t kind, job_kind;
    bool is_main;
    /// Of a trap: what it was.
    const quiesce_trap *_Nullable trap;
} quiesce_arrival;

quiesce_inbox *_Nullable quiesce_inbox_create(void);
/// Ends the exploration: what arrives later for its tasks is dropped.
void quiesce_inbox_destroy(quiesce_inbox *_Nonnull inbox);
/// Ends the execution: so are messages for its tasks, present and future.
void quiesce_inbox_retire(quiesce_inbox *_Nonnull inbox);

/// `task` belongs to the exploration from now on.
void quiesce_inbox_add(quiesce_inbox *_Nonnull inbox, void *_Nonnull task);
/// `task` has completed.
void quiesce_inbox_remove(void *_Nonnull task);

/// Takes the oldest message. False when there is none.
bool quiesce_inbox_take(quiesce_inbox *_Nonnull inbox, quiesce_arrival *_Nonnull arrival);
/// Waits until there is a message, at most so long. False when there is none.
bool quiesce_inbox_wait(quiesce_inbox *_Nonnull inbox, uint64_t nanoseconds);
/// Whether there is a message: one load.
bool quiesce_inbox_has_mail(const quiesce_inbox *_Nonnull inbox);
/// Whether another thread has ever done anything to a task of the exploration.
bool quiesce_inbox_was_used(const quiesce_inbox *_Nonnull inbox);

/// The exploration's program has given work to a thread that nobody explores, or has woken one.
void quiesce_inbox_expect_others(quiesce_inbox *_Nonnull inbox);
/// The calling thread, which nobody explores, has trapped: the handler asks. True when it worked
/// for an exploration; then the thread must never go on. `*trap`, on the thread's stack, stays as
/// it is.
///
/// The exploration gets a message. Where it is not known for which of several the thread worked,
/// none does: the one that waits for another thread claims the trap. A trap that nobody has claimed
/// ends the process with the last inbox of an exploration that could have.
bool quiesce_inbox_take_over_trap(const quiesce_trap *_Nonnull trap);
/// The exploration waits for another thread. Returns a trap that may be the reason, or null.
///
/// Another exploration may have caused the trap too, unless it was over before. Then the trap is
/// returned only with `in_vain`: the exploration gives up waiting.
const quiesce_trap *_Nullable quiesce_inbox_claim_trap(quiesce_inbox *_Nonnull inbox, bool in_vain);
/// The explorations of the calling thread are over. Their inboxes may live on, with what their
/// programs left behind.
void quiesce_inbox_end_explorations(void);

/// Whether any thread's inbox is open: one load.
bool quiesce_inbox_any(void);
/// A thread that is not explored announces what happens to a task. Nothing, if nobody explores it.
void quiesce_inbox_tell(uint8_t kind, void *_Nonnull task, void *_Nullable executor);
/// The thread orders itself with a task: it cancels it, or waits for its value.
void quiesce_inbox_note(void *_Nonnull task);
/// A thread that is not explored gives an executor a job. True when the job is an explored task's,
/// or serves an explored actor: then the executor forgets it.
bool quiesce_inbox_give(void *_Nonnull job, uint8_t job_kind, bool is_main);

/// Where a suspended task goes on, as `quiesce_jobs_frames` says; nothing of a task that another
/// thread runs. No thread begins to run the task meanwhile.
int32_t quiesce_inbox_frames(void *_Nonnull task, uintptr_t *_Nonnull frames, int32_t capacity);
/// Takes a reference to a task that has not completed. False when it has.
bool quiesce_inbox_retain(void *_Nonnull task);
/// Gives it back.
void quiesce_inbox_release(void *_Nonnull task);

#endif
