// SPDX-License-Identifier: Apache-2.0
//
// What code that imports nothing of ours shows of itself: the Swift runtime tells of references,
// the dynamic linker of calls.

#ifndef QUIESCE_INSTRUMENTATION_H
#define QUIESCE_INSTRUMENTATION_H

#include "quiesce_foreign.h"
#include "quiesce_references.h"

#endif
