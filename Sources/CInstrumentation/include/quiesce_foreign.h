// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_FOREIGN_H
#define QUIESCE_FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

// Calls of an observed thread that synchronize by other means than Substrate's.

/// Has `listener` told, from now on and in every thread, of calls by observed threads: the function
/// and the instruction after the call. Each place is told once after each `quiesce_foreign_reset`.
void quiesce_foreign_listen(void (*_Nonnull listener)(void *_Nonnull observer, const char *_Nonnull function, uintptr_t place));

#endif
