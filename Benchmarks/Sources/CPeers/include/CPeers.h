// SPDX-License-Identifier: Apache-2.0

#ifndef CPEERS_H
#define CPEERS_H

/// Costs nothing, and the compiler must suppose that it reads and writes all memory.
static inline __attribute__((always_inline)) void peers_touch_memory(void) { __asm__ volatile("" ::: "memory"); }

/// Costs nothing, and the compiler must suppose that it uses the pointer, and reads and writes all
/// memory.
static inline __attribute__((always_inline)) void peers_use(const void *_Nonnull pointer) {
    __asm__ volatile("" : : "r"(pointer) : "memory");
}

/// A nonblocking eventfd, which Glibc's module does not declare; -1 when there is none to be had.
int peers_eventfd(void);

#endif
