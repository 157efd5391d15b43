// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_REFERENCES_H
#define QUIESCE_REFERENCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The runtime calls its functions that count references through pointers while a byte of its own
// says so. It is set as long as anybody watches a thread.

/// The end of an object: its last reference was given up, and what comes of that is not over.
typedef struct quiesce_end {
    uintptr_t object, type;
    /// How many steps had been taken.
    int64_t steps;
    /// An address on the stack that it runs on.
    uintptr_t stack;
    /// For the watcher to set: whether a step was seen that others can see.
    bool is_visible;
} quiesce_end;

/// What is told of the references of a watched thread's observed code. `watcher` is the one that
/// watches.
typedef struct quiesce_reference_listener {
    /// The thread is about to give up `count` references to `object`, whose type is one of those
    /// that matter; `place` is the instruction after.
    void (*_Nonnull releases)(void *_Nonnull watcher, void *_Nonnull object, uint32_t count, uintptr_t place);
    /// The thread is about to give up the last reference to an object of this type that has weak
    /// references, for which `weak` stands.
    void (*_Nonnull loses)(void *_Nonnull watcher, uintptr_t weak, const void *_Nonnull type);
    /// An object has ended, and meanwhile steps were taken.
    void (*_Nonnull ended)(void *_Nonnull watcher, const quiesce_end *_Nonnull end);
    /// The thread is about to ask whether there is one reference to `object`, whose type is one of
    /// those that matter or was not met before.
    void (*_Nonnull asks)(void *_Nonnull watcher, void *_Nonnull object, uintptr_t place);
    /// The thread is about to load a weak reference: `weak` is what the runtime keeps for those of
    /// one object.
    void (*_Nonnull loads)(void *_Nonnull watcher, uintptr_t weak, uintptr_t place);
    /// The thread is about to load an unowned reference.
    void (*_Nonnull loads_unowned)(void *_Nonnull watcher, void *_Nonnull object, uintptr_t place);
} quiesce_reference_listener;

/// Which types matter to a watcher.
typedef struct quiesce_reference_watch quiesce_reference_watch;

/// `steps` is read: how many steps the watched threads have taken.
quiesce_reference_watch *_Nonnull quiesce_reference_watch_create(const int64_t *_Nonnull steps);
void quiesce_reference_watch_destroy(quiesce_reference_watch *_Nonnull watch);

/// What is known of a type.
typedef enum quiesce_type_standing {
    quiesce_type_unknown,
    /// The caller that asks whether a reference is the only one need not be told.
    quiesce_type_ordinary,
    /// It matters which thread gives up the last reference.
    quiesce_type_matters,
} quiesce_type_standing;

/// Says what is known of a type. Returns false when there is no room for it.
bool quiesce_reference_watch_set(quiesce_reference_watch *_Nonnull watch, const void *_Nonnull type, quiesce_type_standing standing);
/// Forgets what is known.
void quiesce_reference_watch_clear(quiesce_reference_watch *_Nonnull watch);

/// The ends that are not over, from the first to begin to the last.
quiesce_end *_Nullable quiesce_reference_watch_ends(const quiesce_reference_watch *_Nonnull watch, int32_t *_Nonnull count);
/// Forgets them.
void quiesce_reference_watch_forget_ends(quiesce_reference_watch *_Nonnull watch);

/// Tells `watcher` what the calling thread does from now on, where it is observed. False where the
/// runtime shows nothing; else `end` ends it.
bool quiesce_reference_watch_begin(quiesce_reference_watch *_Nonnull watch, void *_Nonnull watcher,
                                   const quiesce_reference_listener *_Nonnull listener);
void quiesce_reference_watch_end(void);

/// Whether giving up `count` references to `object` ends it.
bool quiesce_reference_is_last(const void *_Nonnull object, uint32_t count);
/// The object whose weak references `weak` is for, null once it has ended.
void *_Nullable quiesce_reference_object(uintptr_t weak);
/// What the runtime keeps for the weak references to `object`; 0 while there is none.
uintptr_t quiesce_reference_weak(const void *_Nonnull object);

#endif
