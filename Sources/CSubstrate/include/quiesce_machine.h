// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_MACHINE_H
#define QUIESCE_MACHINE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Sleeps while `*word` is `expected`, at most until `deadline` (monotonic nanoseconds; 0 for
/// none). Returns 0 when woken, or at once when the word differs, or for no reason at all;
/// ETIMEDOUT when the deadline passed.
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
/// Tells the processor that the memory at `address` will soon be written.
static inline __attribute__((always_inline)) void quiesce_prefetch(const void *_Nonnull address) {
    __builtin_prefetch(address, 1);
}
/// The word of `size` bytes (1, 2, 4 or 8) at `address`, as an atomic operation reads and writes
/// it.
static inline __attribute__((always_inline)) uint64_t quiesce_word_load(uintptr_t address, uint8_t size) {
    if (__builtin_expect(size == 8, 1)) return __atomic_load_n((uint64_t *)address, __ATOMIC_SEQ_CST);
    switch (size) {
    case 1: return __atomic_load_n((uint8_t *)address, __ATOMIC_SEQ_CST);
    case 2: return __atomic_load_n((uint16_t *)address, __ATOMIC_SEQ_CST);
    default: return __atomic_load_n((uint32_t *)address, __ATOMIC_SEQ_CST);
    }
}
static inline __attribute__((always_inline)) void quiesce_word_store(uintptr_t address, uint8_t size, uint64_t value) {
    if (__builtin_expect(size == 8, 1)) return __atomic_store_n((uint64_t *)address, value, __ATOMIC_RELEASE);
    switch (size) {
    case 1: return __atomic_store_n((uint8_t *)address, (uint8_t)value, __ATOMIC_RELEASE);
    case 2: return __atomic_store_n((uint16_t *)address, (uint16_t)value, __ATOMIC_RELEASE);
    default: return __atomic_store_n((uint32_t *)address, (uint32_t)value, __ATOMIC_RELEASE);
    }
}
/// Takes the lock whose word is at `address` if it is free: the word becomes `token`.
static inline __attribute__((always_inline)) bool quiesce_lock_take(uintptr_t address, uint32_t token) {
    uint32_t expected = 0;
    return __atomic_compare_exchange_n((uint32_t *)address, &expected, token, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
/// Frees the lock whose word is at `address` if the word is `token`, so that nobody waits for it.
static inline __attribute__((always_inline)) bool quiesce_lock_free(uintptr_t address, uint32_t token) {
    return __atomic_compare_exchange_n((uint32_t *)address, &token, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}
/// Whether there is memory at `word` that can be read.
bool quiesce_is_readable(const void *_Nonnull word);
void quiesce_yield(void);

uint64_t quiesce_monotonic_nanoseconds(void);
void quiesce_sleep_until(uint64_t deadline);
int32_t quiesce_processor_count(void);
int32_t quiesce_thread_id(void);
/// Writes the name of the thread `tid` of this process into `name`. False when there is no such
/// thread.
bool quiesce_thread_name(int32_t tid, char name[_Nonnull 16]);
/// Writes to standard error, as far as that is possible.
void quiesce_write_error(const void *_Nonnull bytes, size_t count);
/// The bytes that the allocator gave the object at `address`, which came from it.
size_t quiesce_allocated_size(const void *_Nonnull address);

/// Starts a thread that runs `body(context)`. Returns 0 or an error number. Where it blocks
/// signals, those that are sent to the process go to others.
int32_t quiesce_thread_start(unsigned long *_Nonnull handle, const char *_Nullable name, bool blocks_signals,
                             void (*_Nonnull body)(void *_Nullable), void *_Nullable context);
void quiesce_thread_join(unsigned long handle);
void quiesce_thread_detach(unsigned long handle);
/// Called on the thread that forks: before the fork, and after it in the parent and in the child.
/// Swift defines them.
extern void quiesce_before_fork(void);
extern void quiesce_after_fork_in_parent(void);
extern void quiesce_after_fork_in_child(void);
/// Called before that: makes the constants of the library above, which defines it if it is there.
extern void quiesce_make_constants(void) __attribute__((weak));
/// Does nothing with what is at `value`, which the compiler must not leave out.
void quiesce_keep(const void *_Nullable value);

/// Error numbers that Substrate itself answers with.
static const int32_t quiesce_error_again = EAGAIN;
static const int32_t quiesce_error_invalid = EINVAL;
static const int32_t quiesce_error_bad_descriptor = EBADF;
static const int32_t quiesce_error_missing = ENOENT;

/// What a descriptor is ready for, or is waited for.
static const uint32_t quiesce_readable = 1;
static const uint32_t quiesce_writable = 2;
static const uint32_t quiesce_broken = 4;

/// A new nonblocking `eventfd(2)`, closed by exec. Returns the descriptor, or an error number
/// negated.
int32_t quiesce_eventfd(uint32_t initial, bool is_semaphore);
/// Transfers at most `count` bytes. Returns how many, or an error number negated. Interruptions are
/// not told.
int64_t quiesce_descriptor_read(int32_t descriptor, void *_Nonnull bytes, size_t count);
int64_t quiesce_descriptor_write(int32_t descriptor, const void *_Nonnull bytes, size_t count);
/// What the descriptor is ready for at this moment, or an error number negated.
int32_t quiesce_descriptor_poll(int32_t descriptor);
/// Another descriptor of the same open file, closed by exec; or an error number negated.
int32_t quiesce_descriptor_duplicate(int32_t descriptor);
void quiesce_descriptor_close(int32_t descriptor);

/// A descriptor that became ready, by the data that it was added with.
typedef struct quiesce_ready {
    uint64_t data;
    uint32_t readiness;
} quiesce_ready;

/// A new `epoll(7)`, closed by exec. Returns its descriptor, or an error number negated.
int32_t quiesce_epoll_create(void);
/// Adds a descriptor to the set (0), changes what is waited for (1), or removes it (2).
/// Edge-triggered: it is told once when it is added or changed and ready then, and once whenever it
/// becomes so. Returns 0 or an error number.
int32_t quiesce_epoll_control(int32_t epoll, int32_t operation, int32_t descriptor, uint32_t wants, uint64_t data);
/// Sleeps until descriptors are ready, and writes at most 64 of them. Returns how many, or an error
/// number negated.
int32_t quiesce_epoll_wait(int32_t epoll, quiesce_ready ready[_Nonnull 64]);

#endif
