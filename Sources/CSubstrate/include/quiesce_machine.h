// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_MACHINE_H
#define QUIESCE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Sleeps while `*word` is `expected`, at most until `deadline` (monotonic nanoseconds; 0 for none).
/// Returns 0 when woken, or at once when the word differs, or for no reason at all; ETIMEDOUT when the deadline passed.
int32_t quiesce_futex_wait(const void *_Nonnull word, uint32_t expected, uint64_t deadline);
/// Wakes at most `count` sleepers and returns how many it woke.
int32_t quiesce_futex_wake(const void *_Nonnull word, int32_t count);

/// Registers the process for expedited barriers, once. False when the kernel refuses.
bool quiesce_membarrier_register(void);
/// A full barrier on every running thread of the process. False when the kernel refuses.
bool quiesce_membarrier(void);
/// Keeps the compiler, not the processor, from moving memory operations across it.
static inline __attribute__((always_inline)) void quiesce_compiler_barrier(void) { __asm__ volatile("" ::: "memory"); }
/// Tells the processor that this is a spin loop.
static inline __attribute__((always_inline)) void quiesce_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
void quiesce_yield(void);

uint64_t quiesce_monotonic_nanoseconds(void);
void quiesce_sleep_until(uint64_t deadline);
int32_t quiesce_processor_count(void);
int32_t quiesce_thread_id(void);
/// Writes the name of the thread `tid` of this process into `name`. False when there is no such thread.
bool quiesce_thread_name(int32_t tid, char name[_Nonnull 16]);
/// Writes to standard error, as far as that is possible.
void quiesce_write_error(const void *_Nonnull bytes, size_t count);
/// The bytes that the allocator gave the object at `address`, which came from it.
size_t quiesce_allocated_size(const void *_Nonnull address);

/// Starts a thread that runs `body(context)`. Returns 0 or an error number.
int32_t quiesce_thread_start(unsigned long *_Nonnull handle, const char *_Nullable name,
                             void (*_Nonnull body)(void *_Nullable), void *_Nullable context);
void quiesce_thread_join(unsigned long handle);
void quiesce_thread_detach(unsigned long handle);
/// Calls these on the thread that forks: before the fork, then in the parent, and in the child.
void quiesce_around_fork(void (*_Nonnull before)(void), void (*_Nonnull parent)(void), void (*_Nonnull child)(void));

#endif
