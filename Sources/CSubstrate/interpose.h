// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_INTERPOSE_H
#define QUIESCE_INTERPOSE_H

#include <stdbool.h>

// Has the calls of `symbol` that the loaded libraries make whose file name contains `library` (null: all) go to `replacement`. False where
// nothing calls it through the dynamic linker.
__attribute__((visibility("hidden")))
bool quiesce_interpose(const char *library, const char *symbol, void *replacement);

#endif
