// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_FIBER_INTERNAL_H
#define QUIESCE_FIBER_INTERNAL_H

#include "quiesce_fiber.h"

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

/// Where libswift_Concurrency keeps its thread-locals of this thread; null when that was not found.
uint64_t *quiesce_concurrency_segment(void);

/// Resumes `to` for good: what runs now is abandoned.
__attribute__((noreturn)) void quiesce_fiber_resume(quiesce_fiber *to);

#endif
