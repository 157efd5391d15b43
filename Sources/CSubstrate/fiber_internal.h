// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_FIBER_INTERNAL_H
#define QUIESCE_FIBER_INTERNAL_H

#include "quiesce_fiber.h"
#include "quiesce_platform.h"

enum { image_words_max = 8 };

struct quiesce_fiber {
    void *sp;
    void *stack;
    size_t size;
    void (*entry)(void *);
    void *context;
    quiesce_block block;
    uint64_t core[image_words_max], concurrency[image_words_max];
    /// Where a fiber that runs no task finds task-local values: the first of a list that is
    /// somebody else's.
    void *lent_locals;
    /// What sanitizers know the fiber by, in builds that have them.
    void *announced, *fake_stack;
};

/// Where the Swift runtime keeps its thread-locals of this thread, word by word; null for a word
/// that fibers share. Looked up once a thread: they do not move.
typedef struct quiesce_runtime_locals {
    bool is_sought;
    /// Whether both parts are segments with the sizes of Swift 6.3.
    bool is_usual;
    /// 0 for a part that was not found.
    size_t core_words, concurrency_words;
    uint64_t *core[image_words_max], *concurrency[image_words_max];
} quiesce_runtime_locals;

extern _Thread_local quiesce_runtime_locals quiesce_locals;

/// Which word of the part of concurrency is what: the current task, what it runs on, and the
/// task-local values of a thread without a task.
enum { current_task = 1, executor_tracking = 2, fallback_values = 3 };

void quiesce_locals_find(void);
/// As much as an exploration needs: reads the program's file where the runtime is a part of it.
void quiesce_locals_prepare(void);

static inline void quiesce_locals_know(void) {
    if (!quiesce_locals.is_sought) quiesce_locals_find();
}

/// A word of the part of concurrency; null when that was not found. Where the runtime is linked in,
/// that is so until the thread explores.
static inline uint64_t *quiesce_concurrency_word(int word) {
    quiesce_locals_know();
    return quiesce_locals.concurrency[word];
}

/// Tells a sanitizer that no function has a frame on `stack` any more: what was abandoned there did
/// not return, and the next to use the stack would be accused of touching it.
#if __has_feature(address_sanitizer)
extern void __asan_unpoison_memory_region(const volatile void *stack, size_t size);
#define quiesce_forget_frames(stack, size) __asan_unpoison_memory_region(stack, size)
#else
#define quiesce_forget_frames(stack, size) ((void)(stack), (void)(size))
#endif

/// Resumes `to` for good: what runs now is abandoned.
__attribute__((noreturn)) void quiesce_fiber_resume(quiesce_fiber *to);

#endif
