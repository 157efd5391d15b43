// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_BLOCK_H
#define QUIESCE_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

/// What Substrate knows of the running thread. One lives in each thread's own storage; a fiber
/// switch exchanges it.
typedef struct quiesce_block {
    /// The observer of this thread's operations; null in production. An unretained Swift
    /// `Observer`.
    void *_Nullable observer;
    /// `id` of a registered thread that has neither an observer nor a listener, else 0: what a
    /// lock's fast path writes, and what every other fast path tests.
    uint32_t token;
    /// This thread's number in its world; 0 before its first use.
    uint32_t id;
    /// The listener for this thread's locks and waits; null for none, and while it is told. An
    /// unretained Swift `PassiveListener`.
    void *_Nullable listener;
    /// The world this thread belongs to; null stands for the process's own. An unretained Swift
    /// `World`.
    void *_Nullable world;
    /// This thread's values of `ThreadLocal` variables. A retained Swift object, or null.
    void *_Nullable locals;
    /// `row` of a registered thread that has neither an observer nor a listener and whose stores
    /// need no fence, else null: what a fast path announces in.
    void *_Nullable slots;
    /// Where this thread announces what it is inside of; null before its first use.
    void *_Nullable row;
    /// How many event callbacks this thread is inside of.
    uint32_t callbacks;
    /// Where a registered thread whose stores need no fence says that it is inside of a change that
    /// a fork must not split; null before its first. A byte.
    void *_Nullable fork_mark;
    /// The observer of this thread's blocking waits. An unretained Swift `BlockingObserver`, or
    /// null.
    void *_Nullable blocking;
    /// The innermost read section of a reader-writer lock that this thread is inside of; it lies on
    /// the thread's stack. A Swift `ReadSection`, or null.
    const void *_Nullable reads;
} quiesce_block;

extern _Thread_local quiesce_block quiesce_thread_block __attribute__((tls_model("initial-exec")));

/// The running thread's block. Always valid; never null.
static inline __attribute__((always_inline)) quiesce_block *_Nonnull quiesce_current_block(void) {
    return &quiesce_thread_block;
}

/// 1 while a thread of the process forks. A plain global of C: every section that a fork must not
/// split asks for it, and a global of Swift is reached by a call.
extern uint32_t quiesce_forking;

static inline __attribute__((always_inline)) bool quiesce_is_forking(void) {
    return __atomic_load_n(&quiesce_forking, __ATOMIC_ACQUIRE) != 0;
}
/// What to wait on until no thread forks.
static inline const void *_Nonnull quiesce_forking_word(void) { return &quiesce_forking; }
/// Strong enough for the thread that forks, which issues a barrier behind it.
static inline void quiesce_set_forking(bool is_forking) {
    __atomic_store_n(&quiesce_forking, is_forking, __ATOMIC_SEQ_CST);
}

/// Above 0 while this thread runs code of a checker's, of whose references nothing is told.
extern _Thread_local uint32_t quiesce_thread_muted __attribute__((tls_model("initial-exec")));

static inline __attribute__((always_inline)) void quiesce_mute(void) { quiesce_thread_muted++; }
static inline __attribute__((always_inline)) void quiesce_unmute(void) { quiesce_thread_muted--; }

/// Arranges that `on_exit` is called with this thread's block when the thread ends.
void quiesce_block_watch_exit(void (*_Nonnull on_exit)(quiesce_block *_Nonnull));

/// Not 0 once somebody wants to know where locks are made.
extern uint32_t quiesce_lock_sites_wanted;

static inline __attribute__((always_inline)) bool quiesce_wants_lock_sites(void) {
    return __atomic_load_n(&quiesce_lock_sites_wanted, __ATOMIC_RELAXED) != 0;
}

/// From now on, `quiesce_wants_lock_sites` says true.
void quiesce_want_lock_sites(void);

#endif
