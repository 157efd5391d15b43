// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "quiesce_references.h"
#include "quiesce_block.h"
#include "quiesce_fiber.h"
#include "quiesce_interpose.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_EXPLORER
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Weak: a toolchain without them links, and `begin` says no.
extern void *(*_swift_allocObject)(const void *, size_t, size_t) __attribute__((weak));
extern void *(*_swift_retain)(void *) __attribute__((weak));
extern void (*_swift_release)(void *) __attribute__((weak));
extern void (*_swift_release_n)(void *, uint32_t) __attribute__((weak));
extern uint8_t _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly __attribute__((weak));

// What is read of the runtime's own structures, as Swift 6.3 lays them out.
enum {
    // The word after an object's type: an inline count, or where the counts are.
    counts_offset = 8, extra_shift = 33, extra_bits = 30, deiniting_bit = 32, slow_bit = 63,
    // Where the counts are kept elsewhere: the object comes first, its counts 16 bytes later.
    side_shift = 3, side_counts_offset = 16,
};

enum { type_capacity = 1024 };

struct quiesce_reference_watch {
    void *watcher;
    const int64_t *steps;
    quiesce_end *ends;
    int32_t end_count, end_capacity;
    // How many types matter.
    uint32_t matters;
    // How many are known. By a hash of the type; a zero ends the search.
    uint32_t known;
    struct {
        const void *type;
        quiesce_type_standing standing;
    } types[type_capacity];
};

static _Thread_local quiesce_reference_watch *thread_watch __attribute__((tls_model("initial-exec")));
static quiesce_reference_listener listener;
static void (*former_release)(void *), (*former_release_n)(void *, uint32_t);

// MARK: Types

static inline uint32_t slot_of(const void *type) { return (uint32_t)(((uintptr_t)type >> 4) * 0x9E3779B9u) % type_capacity; }

static inline quiesce_type_standing standing_of(const quiesce_reference_watch *watch, const void *type) {
    uint32_t slot = slot_of(type);
    while (watch->types[slot].type) {
        if (watch->types[slot].type == type) return watch->types[slot].standing;
        slot = (slot + 1) % type_capacity;
    }
    return quiesce_type_unknown;
}

bool quiesce_reference_watch_set(quiesce_reference_watch *watch, const void *type, quiesce_type_standing standing) {
    uint32_t slot = slot_of(type);
    while (watch->types[slot].type && watch->types[slot].type != type) slot = (slot + 1) % type_capacity;
    if (!watch->types[slot].type) {
        // The search for what is not there needs an end.
        if (watch->known >= type_capacity * 3 / 4) return false;
        watch->known++;
        watch->types[slot].type = type;
        watch->types[slot].standing = quiesce_type_unknown;
    }
    if (standing == quiesce_type_matters && watch->types[slot].standing != standing) watch->matters++;
    watch->types[slot].standing = standing;
    return true;
}

void quiesce_reference_watch_clear(quiesce_reference_watch *watch) {
    memset(watch->types, 0, sizeof watch->types);
    watch->known = watch->matters = 0;
}

quiesce_reference_watch *quiesce_reference_watch_create(const int64_t *steps) {
    quiesce_reference_watch *watch = calloc(1, sizeof *watch);
    if (!watch) abort();
    watch->steps = steps;
    return watch;
}

void quiesce_reference_watch_destroy(quiesce_reference_watch *watch) {
    free(watch->ends);
    free(watch);
}

quiesce_end *quiesce_reference_watch_ends(const quiesce_reference_watch *watch, int32_t *count) {
    *count = watch->end_count;
    return watch->ends;
}

void quiesce_reference_watch_forget_ends(quiesce_reference_watch *watch) { watch->end_count = 0; }

// MARK: Counts

static inline uint64_t counts_of(const void *object) {
    return __atomic_load_n((const uint64_t *)((const char *)object + counts_offset), __ATOMIC_RELAXED);
}

static inline bool is_last_of(uint64_t counts, uint32_t count) {
    return !((counts >> deiniting_bit) & 1) && ((counts >> extra_shift) & ((1u << extra_bits) - 1)) == count - 1;
}

uintptr_t quiesce_reference_weak(const void *object) {
    uint64_t counts = counts_of(object);
    // With the other high bit, an object that is never counted.
    if (counts >> 62 != 3) return 0;
    return (uintptr_t)(counts << 2 >> 2) << side_shift;
}

bool quiesce_reference_is_last(const void *object, uint32_t count) {
    uint64_t counts = counts_of(object);
    if (!(counts >> slow_bit)) return is_last_of(counts, count);
    uintptr_t side = quiesce_reference_weak(object);
    return side && is_last_of(*(const uint64_t *)(side + side_counts_offset), count);
}

void *quiesce_reference_object(uintptr_t weak) {
    uint64_t counts = *(const uint64_t *)(weak + side_counts_offset);
    return (counts >> deiniting_bit) & 1 ? NULL : *(void *const *)weak;
}

// MARK: Releases

// Whatever a thread finds changed has changed for good: no more order is needed.
#define now(pointer) __atomic_load_n(&(pointer), __ATOMIC_RELAXED)

static void give_up(void *object, uint32_t count) {
    if (count == 1) now(former_release)(object);
    else now(former_release_n)(object, count);
}

static __attribute__((noinline)) void make_room_for_ends(quiesce_reference_watch *watch) {
    int32_t capacity = watch->end_capacity ? watch->end_capacity * 2 : 16;
    watch->ends = realloc(watch->ends, (size_t)capacity * sizeof *watch->ends);
    if (!watch->ends) abort();
    watch->end_capacity = capacity;
}

static inline void begin_end(quiesce_reference_watch *watch, const void *object, const void *type) {
    if (watch->end_count == watch->end_capacity) make_room_for_ends(watch);
    watch->ends[watch->end_count++] = (quiesce_end){
        .object = (uintptr_t)object, .type = (uintptr_t)type, .steps = *watch->steps,
        .stack = (uintptr_t)__builtin_frame_address(0),
    };
}

static __attribute__((noinline)) void finish_watched_end(quiesce_reference_watch *watch, const void *object) {
    // Others may have begun meanwhile, on other stacks; and the watcher may have forgotten it.
    int32_t index = watch->end_count - 1;
    while (index >= 0 && watch->ends[index].object != (uintptr_t)object) index--;
    if (index < 0) return;
    quiesce_end end = watch->ends[index];
    for (watch->end_count--; index < watch->end_count; index++) watch->ends[index] = watch->ends[index + 1];
    if (end.steps != *watch->steps) listener.ended(watch->watcher, &end);
}

static inline void finish_end(quiesce_reference_watch *watch, const void *object) {
    int32_t last = watch->end_count - 1;
    // Of most no step is taken.
    if (last >= 0 && watch->ends[last].object == (uintptr_t)object && watch->ends[last].steps == *watch->steps) watch->end_count = last;
    else finish_watched_end(watch, object);
}

// A release that may be the last, or of a type that matters.
static __attribute__((noinline)) void release(quiesce_reference_watch *watch, void *object, uint32_t count, uintptr_t place) {
    const void *type = *(const void *const *)object;
    if (watch->matters && standing_of(watch, type) == quiesce_type_matters) listener.releases(watch->watcher, object, count, place);
    if (!quiesce_reference_is_last(object, count)) {
        give_up(object, count);
        return;
    }
    uintptr_t weak = quiesce_reference_weak(object);
    if (weak) listener.loses(watch->watcher, weak, type);
    begin_end(watch, object, type);
    give_up(object, count);
    finish_end(watch, object);
}

// Whether a release need not be looked at: others hold the object, of whatever type it is.
static inline __attribute__((always_inline)) bool is_plain(const quiesce_reference_watch *watch, const void *object, uint32_t count) {
    uint64_t counts = counts_of(object);
    return !watch->matters && !(counts >> slow_bit) && !is_last_of(counts, count);
}

// The watcher of what the running code does to references, or null. The explorer's own stack is
// not observed.
static inline __attribute__((always_inline)) quiesce_reference_watch *active(void) {
    quiesce_reference_watch *watch = thread_watch;
    return watch && quiesce_thread_block.observer && !quiesce_thread_muted ? watch : NULL;
}

static void on_release(void *object) {
    quiesce_reference_watch *watch = active();
    if (!watch || (intptr_t)object <= 0 || is_plain(watch, object, 1)) now(former_release)(object);
    else release(watch, object, 1, (uintptr_t)__builtin_return_address(0));
}

static void on_release_n(void *object, uint32_t count) {
    quiesce_reference_watch *watch = active();
    if (!watch || (intptr_t)object <= 0 || count == 0 || is_plain(watch, object, count)) now(former_release_n)(object, count);
    else release(watch, object, count, (uintptr_t)__builtin_return_address(0));
}

// MARK: Questions and loads

static bool (*real_is_unique)(void *), (*real_is_unique_or_null)(void *);
// The generic functions of the standard library, which a debug build calls.
static bool (*real_is_known_unique)(void **, const void *), (*real_is_known_unique_or_null)(void **, const void *);
static void *(*real_weak_load)(void *), *(*real_weak_take)(void *), *(*real_unowned_retain)(void *);

static inline __attribute__((always_inline)) void ask(void *object, uintptr_t place) {
    quiesce_reference_watch *watch = active();
    if (!watch || (intptr_t)object <= 0) return;
    if (standing_of(watch, *(const void *const *)object) != quiesce_type_ordinary) listener.asks(watch->watcher, object, place);
}

static bool is_unique(void *object) {
    ask(object, (uintptr_t)__builtin_return_address(0));
    return now(real_is_unique)(object);
}

static bool is_unique_or_null(void *object) {
    ask(object, (uintptr_t)__builtin_return_address(0));
    return now(real_is_unique_or_null)(object);
}

static bool is_known_unique(void **reference, const void *type) {
    ask(*reference, (uintptr_t)__builtin_return_address(0));
    return now(real_is_known_unique)(reference, type);
}

static bool is_known_unique_or_null(void **reference, const void *type) {
    ask(*reference, (uintptr_t)__builtin_return_address(0));
    return now(real_is_known_unique_or_null)(reference, type);
}

static inline __attribute__((always_inline)) void load_weak(void *reference, uintptr_t place) {
    quiesce_reference_watch *watch = active();
    uintptr_t weak = *(const uintptr_t *)reference;
    if (watch && weak) listener.loads(watch->watcher, weak, place);
}

static void *weak_load(void *reference) {
    load_weak(reference, (uintptr_t)__builtin_return_address(0));
    return now(real_weak_load)(reference);
}

static void *weak_take(void *reference) {
    load_weak(reference, (uintptr_t)__builtin_return_address(0));
    return now(real_weak_take)(reference);
}

static void *unowned_retain(void *object) {
    quiesce_reference_watch *watch = active();
    if (watch && (intptr_t)object > 0) listener.loads_unowned(watch->watcher, object, (uintptr_t)__builtin_return_address(0));
    return now(real_unowned_retain)(object);
}

// MARK: Room

// An array takes all the room that the allocator gave it, which may be sixteen bytes more than the
// last time. Whether it grows, and gives up what it had, must not depend on that.
static void *(*former_allocate)(const void *, size_t, size_t);
static size_t (*real_room)(void *);
static _Thread_local struct { void *memory; size_t size; } newest __attribute__((tls_model("initial-exec")));

static void *on_allocate(const void *type, size_t size, size_t alignment_mask) {
    void *object = now(former_allocate)(type, size, alignment_mask);
    if (thread_watch) {
        newest.memory = object;
        newest.size = size;
    }
    return object;
}

static size_t room(void *memory) {
    size_t all = now(real_room)(memory);
    // Where it is asked for, that is the next thing after the allocation.
    if (!thread_watch || !memory || memory != newest.memory) return all;
    newest.memory = NULL;
    // The least that there is in a block of this allocator's.
    size_t least = newest.size <= 24 ? 24 : ((newest.size + 8 + 15) & ~(size_t)15) - 8;
    return all == least + 16 ? least : all;
}

// MARK: Watching

static pthread_mutex_t watching = PTHREAD_MUTEX_INITIALIZER;
static int watchers;
static bool is_found;
static quiesce_interposition calls;

// Retains are left to the runtime. But the way to them through the pointer clears the high bits of
// what it is given before anybody looks at them, though they say that some strings are no objects.
// It begins at a pointer beside the others, which nobody exports; the code there tells it.
static bool mend_retain(void) {
#if defined(__x86_64__)
    Dl_info library;
    if (!&_swift_retain || !dladdr((void *)&_swift_retain, &library)) return false;
    for (int i = -32; i < 32; i++) {
        void **slot = (void **)&_swift_retain + i;
        const uint8_t *code = *slot;
        // Functions of the library come before its data.
        if ((uintptr_t)code < (uintptr_t)library.dli_fbase || (uintptr_t)code > (uintptr_t)&_swift_retain - 4096) continue;
        for (int at = 0; at < 48; at++) {
            int32_t offset;
            if (code[at] != 0xff || code[at + 1] != 0x15) continue;
            memcpy(&offset, code + at + 2, sizeof offset);
            if (code + at + 6 + offset != (const uint8_t *)&_swift_retain) continue;
            __atomic_store_n(slot, (void *)_swift_retain, __ATOMIC_RELEASE);
            return true;
        }
    }
#endif
    return false;
}

static bool find(const quiesce_reference_listener *new_listener) {
    static bool is_sought;
    if (is_sought) return is_found;
    is_sought = true;
    // A runtime that is linked in is called directly.
    if (quiesce_runtime_is_linked_in()) return false;
    if (!&_swift_allocObject || !&_swift_release || !&_swift_release_n || !&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly) return false;
    quiesce_replacement replacements[] = {
        {"swift_isUniquelyReferenced_nonNull_native", (void *)is_unique, NULL, (void **)&real_is_unique},
        {"swift_isUniquelyReferenced_native", (void *)is_unique_or_null, NULL, (void **)&real_is_unique_or_null},
        {"$ss25isKnownUniquelyReferencedySbxzRlzClF", (void *)is_known_unique, NULL, (void **)&real_is_known_unique},
        {"$ss25isKnownUniquelyReferencedySbxSgzRlzClF", (void *)is_known_unique_or_null, NULL, (void **)&real_is_known_unique_or_null},
        {"swift_weakLoadStrong", (void *)weak_load, NULL, (void **)&real_weak_load},
        {"swift_weakTakeStrong", (void *)weak_take, NULL, (void **)&real_weak_take},
        {"swift_unownedRetainStrong", (void *)unowned_retain, NULL, (void **)&real_unowned_retain},
        {"malloc_usable_size", (void *)room, NULL, (void **)&real_room},
    };
    if (!quiesce_interposition_find(&calls, replacements, sizeof replacements / sizeof *replacements) || !mend_retain()) return false;
    __atomic_store_n(&former_allocate, _swift_allocObject, __ATOMIC_RELAXED);
    __atomic_store_n(&former_release, _swift_release, __ATOMIC_RELAXED);
    __atomic_store_n(&former_release_n, _swift_release_n, __ATOMIC_RELAXED);
    listener = *new_listener;
    is_found = true;
    return true;
}

static void set_on(bool on) {
    __atomic_store_n(&_swift_allocObject, on ? on_allocate : former_allocate, __ATOMIC_RELEASE);
    __atomic_store_n(&_swift_release, on ? on_release : former_release, __ATOMIC_RELEASE);
    __atomic_store_n(&_swift_release_n, on ? on_release_n : former_release_n, __ATOMIC_RELEASE);
    __atomic_store_n(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, on, __ATOMIC_RELEASE);
    quiesce_interposition_set(&calls, on);
}

bool quiesce_reference_watch_begin(quiesce_reference_watch *watch, void *watcher, const quiesce_reference_listener *new_listener) {
    pthread_mutex_lock(&watching);
    bool is_there = find(new_listener);
    if (is_there) {
        watch->watcher = watcher;
        if (watchers++ == 0) set_on(true);
        thread_watch = watch;
    }
    pthread_mutex_unlock(&watching);
    return is_there;
}

void quiesce_reference_watch_end(void) {
    pthread_mutex_lock(&watching);
    thread_watch = NULL;
    if (is_found && --watchers == 0) set_on(false);
    pthread_mutex_unlock(&watching);
}
#endif
