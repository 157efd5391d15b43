// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_FIBER_H
#define QUIESCE_FIBER_H

#include "quiesce_block.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A stack with its own image of everything that belongs to a thread: registers, Substrate's block,
/// and the thread-locals of the Swift runtime (exclusivity accesses; current task and task-locals).
typedef struct quiesce_fiber quiesce_fiber;

/// A fiber that stands for the thread's own stack, to switch away from and back to.
quiesce_fiber *_Nonnull quiesce_fiber_host(void);
/// A fiber with `stack_size` bytes of stack above a guard page; null when memory is refused.
quiesce_fiber *_Nullable quiesce_fiber_create(size_t stack_size);
/// Gives the stack back. The fiber must not be running.
void quiesce_fiber_destroy(quiesce_fiber *_Nonnull fiber);
/// Makes the next switch to `fiber` call `entry(context)` on an empty stack; `entry` must not
/// return. The images of the runtime's thread-locals start empty, the block starts as `*block`.
void quiesce_fiber_prepare(quiesce_fiber *_Nonnull fiber, void (*_Nonnull entry)(void *_Nullable),
                           void *_Nullable context, const quiesce_block *_Nonnull block);
/// Suspends `from`, which must be running on this thread, and resumes `to`.
void quiesce_fiber_switch(quiesce_fiber *_Nonnull from, quiesce_fiber *_Nonnull to);
/// Whether `address` lies in the guard page or the stack of `fiber`.
bool quiesce_fiber_contains(const quiesce_fiber *_Nonnull fiber, uintptr_t address);

/// The sizes in bytes of the two parts of the runtime's thread-locals that are exchanged, 0 for one
/// that was not found.
size_t quiesce_fiber_core_image_size(void);
size_t quiesce_fiber_concurrency_image_size(void);
/// Whether the Swift runtime is linked statically, into the file that holds these shims too.
bool quiesce_runtime_is_linked_in(void);
/// Finds thread-local variables by their names in the symbol table of an ELF file, whose `size`
/// bytes are at `file`. False unless each of the `count` (at most 16) names is there exactly once;
/// `offsets` are from the beginning of the file's thread-local segment.
bool quiesce_find_thread_locals(const void *_Nonnull file, size_t size, const char *_Nonnull const *_Nonnull names,
                                uint64_t *_Nonnull offsets, int count);

/// What stopped a fiber.
typedef struct quiesce_trap {
    int32_t signal;
    /// The instruction that trapped, and for a memory fault the address it used.
    uintptr_t instruction, address;
    /// Return addresses, innermost first.
    int32_t depth;
    uintptr_t frames[24];
} quiesce_trap;

/// Traps of the calling thread abandon `running` and resume `host`; `*trap` then says what happened
/// (its signal is not 0). Counts its users: each call is paired with `quiesce_trap_end`. `*running`
/// is read when the trap happens. A trap inside the allocator calls `fatal(context)` and ends the
/// process.
void quiesce_trap_begin(quiesce_fiber *_Nonnull host, quiesce_fiber *_Nullable *_Nonnull running,
                        quiesce_trap *_Nonnull trap, void (*_Nonnull fatal)(void *_Nullable), void *_Nullable context);
void quiesce_trap_end(void);
/// Whether the calling thread has begun and not ended.
bool quiesce_trap_is_begun(void);
/// Stops whatever the thread `tid` runs, as if it had trapped with signal `quiesce_trap_stuck`.
void quiesce_trap_interrupt(int32_t tid);
extern const int32_t quiesce_trap_stuck;

/// Writes a schedule to standard error without allocating: a process that is about to die says
/// where.
void quiesce_report_fatal(const uint32_t *_Nullable schedule, int32_t count);

/// The symbol that holds `address`, or null; `*_offset` its distance from the symbol's start.
const char *_Nullable quiesce_symbol_name(uintptr_t address, uintptr_t *_Nonnull offset);

/// The return addresses of the calling fiber, innermost first, at most `capacity`. Returns how
/// many.
int32_t quiesce_backtrace(uintptr_t *_Nonnull frames, int32_t capacity);

/// The file of the program or library that holds `address`, or null; `*_offset` the distance from
/// where it was loaded.
const char *_Nullable quiesce_module_name(uintptr_t address, uintptr_t *_Nonnull offset);

/// Starts a program, named by the first of its `arguments` (the last is null), whose standard input
/// and output are the pipes `*_input` and `*_output`. False when that fails.
bool quiesce_start_tool(char *_Nullable *_Nonnull arguments, int32_t *_Nonnull input, int32_t *_Nonnull output);

/// The readable form of a mangled Swift name, to be given back with `quiesce_free_text`; null when
/// it is not one.
char *_Nullable quiesce_demangle(const char *_Nonnull name);
void quiesce_free_text(char *_Nonnull text);

/// Executes the instruction that a failed precondition ends in, without its message.
static inline __attribute__((always_inline)) void quiesce_test_trap(void) { __builtin_trap(); }

/// A Swift closure without arguments or result, as it lies in memory.
typedef struct quiesce_closure {
    void (*_Nonnull function)(void);
    void *_Nullable context;
} quiesce_closure;

/// Calls a closure without taking a reference to what it captures.
void quiesce_call(quiesce_closure closure);

/// A counter that one thread advances and others read.
static inline __attribute__((always_inline)) void quiesce_counter_tick(uint64_t *_Nonnull counter) {
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}
static inline uint64_t quiesce_counter_read(const uint64_t *_Nonnull counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
