// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_PLATFORM_H
#define QUIESCE_PLATFORM_H

#include <stdbool.h>

#if __has_include(<features.h>)
#include <features.h>
#endif

// What works on the platform of this build. The rest compiles, and traps with a sentence when it is
// called. `QUIESCE_WITHOUT_MACHINE` and `QUIESCE_WITHOUT_EXPLORER` make any platform another one.

/// Whether the primitives work: they need the system calls of a 64-bit Linux.
#if defined(__linux__) && defined(__LP64__) && __has_include(<linux/futex.h>) && !defined(QUIESCE_WITHOUT_MACHINE)
#define QUIESCE_HAS_MACHINE 1
#else
#define QUIESCE_HAS_MACHINE 0
#endif

/// Whether the explorer works: it needs glibc, and a processor whose stacks it can switch.
#if QUIESCE_HAS_MACHINE && defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) && \
    !defined(QUIESCE_WITHOUT_EXPLORER)
#define QUIESCE_HAS_EXPLORER 1
#else
#define QUIESCE_HAS_EXPLORER 0
#endif

/// Whether code can be explored on this platform. A function, so that the compiler does not tell
/// Swift code of what is never executed.
bool quiesce_has_explorer(void);

#endif
