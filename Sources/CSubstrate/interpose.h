// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_INTERPOSE_H
#define QUIESCE_INTERPOSE_H

// A function that is called through the dynamic linker, and what is called in its place.
typedef struct quiesce_replacement {
    const char *symbol;
    void *function;
    // In whose calls: a part of the library's file name, or null for all that are loaded.
    const char *library;
    // How many places referred to it.
    int found;
} quiesce_replacement;

__attribute__((visibility("hidden")))
void quiesce_interpose(quiesce_replacement *replacements, int count);

#endif
