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
    /// How many places referred to it.
    int found;
} quiesce_replacement;

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

/// Finds the places that refer to the functions, in all that is loaded but what is excluded. A
/// library that is loaded later is not among them.
void quiesce_interposition_find(quiesce_interposition *_Nonnull interposition, quiesce_replacement *_Nonnull replacements,
                                int count);
/// Makes the replacements, or undoes them.
void quiesce_interposition_set(quiesce_interposition *_Nonnull interposition, bool on);

#endif
