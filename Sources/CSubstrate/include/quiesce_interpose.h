// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_INTERPOSE_H
#define QUIESCE_INTERPOSE_H

#include <stdbool.h>

/// A function that is called through the dynamic linker, and what is called in its place.
typedef struct quiesce_replacement {
    const char *_Nonnull symbol;
    void *_Nonnull function;
    /// In whose calls: a part of the library's file name, or null for all that are loaded.
    const char *_Nullable library;
    /// Where the address of the function itself goes; null where nobody wants it.
    void *_Nullable *_Nullable real;
    /// How many places referred to it; -1 where it is wanted and there is none.
    int found;
} quiesce_replacement;

/// Defines `call_NAME`, which does `before` and then what the function NAME does. All arguments are
/// words, and so is what comes back: four are as many as any of these functions takes, and one that
/// takes fewer does not look at the rest.
#define QUIESCE_CALL(name, before) \
    static void *(*real_##name)(void *, void *, void *, void *); \
    static void *call_##name(void *a, void *b, void *c, void *d) { \
        before; \
        return __atomic_load_n(&real_##name, __ATOMIC_RELAXED)(a, b, c, d); \
    }
/// Calls `call_NAME` in the place of NAME.
#define QUIESCE_REPLACEMENT(name) {#name, (void *)call_##name, NULL, (void **)&real_##name},

/// Replaces for good.
void quiesce_interpose(quiesce_replacement *_Nonnull replacements, int count);

/// The places where replacements go, so that they can be made and undone.
typedef struct quiesce_interposition {
    /// Parts of the file names of libraries whose calls stay as they are; the first null ends them.
    const char *_Nullable excluded[16];
    int count, capacity;
    struct quiesce_call_slot *_Nullable slots;
    bool is_on;
} quiesce_interposition;

/// Whether the calls of a library stay as they are.
bool quiesce_interposition_excludes(const quiesce_interposition *_Nonnull interposition, const char *_Nullable library);
/// Finds the places that refer to the functions, in all that is loaded but what is excluded. A
/// library that is loaded later is not among them. False where one of the functions that are wanted
/// themselves does not exist.
bool quiesce_interposition_find(quiesce_interposition *_Nonnull interposition, quiesce_replacement *_Nonnull replacements,
                                int count);
/// Makes the replacements, or undoes them.
void quiesce_interposition_set(quiesce_interposition *_Nonnull interposition, bool on);

#endif
