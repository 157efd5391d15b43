// SPDX-License-Identifier: Apache-2.0
//
// Platforms on which nothing is explored: see elsewhere.c of CSubstrate.

#include "quiesce_instrumentation.h"
#include "quiesce_platform.h"
#include <stdlib.h>

#if !QUIESCE_HAS_EXPLORER
// An exploration is refused before it gets here.
#define ABORTS(result, name, parameters) \
    result name parameters { abort(); }

ABORTS(void, quiesce_foreign_begin, (void (*a)(void *, const char *)))
ABORTS(void, quiesce_foreign_end, (void))
ABORTS(quiesce_reference_watch *, quiesce_reference_watch_create, (const int64_t *a))
ABORTS(void, quiesce_reference_watch_destroy, (quiesce_reference_watch *a))
ABORTS(bool, quiesce_reference_watch_set, (quiesce_reference_watch *a, const void *b, quiesce_type_standing c))
ABORTS(void, quiesce_reference_watch_clear, (quiesce_reference_watch *a))
ABORTS(quiesce_end *, quiesce_reference_watch_ends, (const quiesce_reference_watch *a, int32_t *b))
ABORTS(void, quiesce_reference_watch_forget_ends, (quiesce_reference_watch *a))
ABORTS(bool, quiesce_reference_watch_begin, (quiesce_reference_watch *a, void *b, const quiesce_reference_listener *c))
ABORTS(void, quiesce_reference_watch_end, (void))
ABORTS(bool, quiesce_reference_is_last, (const void *a, uint32_t b))
ABORTS(void *, quiesce_reference_object, (uintptr_t a))
ABORTS(uintptr_t, quiesce_reference_weak, (const void *a))
#endif
