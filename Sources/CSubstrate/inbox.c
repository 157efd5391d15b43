// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "quiesce_inbox.h"
#include "quiesce_jobs.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_EXPLORER
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

extern void *swift_retain(void *) __attribute__((weak));
extern void swift_release(void *) __attribute__((weak));
extern void *swift_task_getCurrent(void) __attribute__((weak));

enum {
    // What the runtime calls a job that serves the queue of a default actor.
    serves_actor = 193,
    // Such a job is a part of its actor, or has a pointer to it behind the fields of every job.
    actor_size = 0x100, served_actor = 0x40,
};

struct quiesce_inbox {
    quiesce_arrival *messages;
    int first, count, capacity;
    // How many of its tasks have not completed.
    int tasks;
    // Which execution of which exploration this is: no two in the process have the same number.
    uint64_t execution;
    // The number of its first execution, which names the inbox.
    uint64_t number;
    bool was_used;
    // Whether threads that nobody explores were given something to do.
    bool expects_others;
    // Whether the present execution gave it to them.
    bool is_at_it;
    // When its exploration ended; 0 before.
    uint64_t end;
    // The thread that explores.
    pid_t explorer;
    quiesce_inbox *next;
};

// A task and where messages about it go: nowhere, once its execution has ended.
typedef struct entry {
    void *task;
    quiesce_inbox *inbox;
    // Whether another thread runs it, or has left it waiting.
    bool is_away;
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static quiesce_inbox *inboxes;
static uint64_t executions;
// Tasks by address. Removed ones leave a mark, so that those behind them are found.
static entry *table;
static size_t table_size, table_used, table_live;
static char removed_mark;
#define REMOVED ((void *)&removed_mark)

// The explored actor into whose queue this thread has last announced to put a task, and for which
// execution: the job that serves the actor comes next.
static _Thread_local struct {
    void *actor;
    uint64_t execution;
} served;

// The inbox for whose tasks this thread has last done something.
static _Thread_local uint64_t worked_for;

// Traps of threads that may have worked for one of several explorations, and when they were: an
// exploration that began later has nothing to do with them.
enum { unclaimed_max = 64 };
static struct {
    const quiesce_trap *trap;
    uint64_t time;
} unclaimed[unclaimed_max];
static int unclaimed_count;

// The latest end of an exploration that gave work away and whose inbox is destroyed.
static uint64_t last_end;

// The lock is none of the program's doings.
static void enter(void) {
    quiesce_mute();
    pthread_mutex_lock(&lock);
    quiesce_unmute();
}

static void leave(void) { pthread_mutex_unlock(&lock); }

static size_t place_of(const void *task) {
    return (size_t)(((uintptr_t)task >> 4) * 0x9E3779B97F4A7C15u >> 32) & (table_size - 1);
}

static entry *find(const void *task) {
    if (table_size == 0) return NULL;
    for (size_t i = place_of(task);; i = (i + 1) & (table_size - 1)) {
        if (!table[i].task) return NULL;
        if (table[i].task == task) return &table[i];
    }
}

static void insert(entry new_entry) {
    size_t i = place_of(new_entry.task);
    while (table[i].task && table[i].task != REMOVED) i = (i + 1) & (table_size - 1);
    if (!table[i].task) table_used++;
    table[i] = new_entry;
}

static void make_room(void) {
    if ((table_used + 1) * 2 <= table_size) return;
    entry *old = table;
    size_t old_size = table_size;
    size_t new_size = 256;
    while (new_size < (table_live + 1) * 4) new_size *= 2;
    table = calloc(new_size, sizeof *table);
    if (!table) abort();
    table_size = new_size;
    table_used = 0;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].task && old[i].task != REMOVED) insert(old[i]);
    free(old);
}

static void count_tasks(quiesce_inbox *inbox, int change) {
    if (inbox) __atomic_store_n(&inbox->tasks, inbox->tasks + change, __ATOMIC_RELAXED);
}

static void forget(entry *known) {
    count_tasks(known->inbox, -1);
    known->task = REMOVED;
    known->inbox = NULL;
    __atomic_store_n(&table_live, table_live - 1, __ATOMIC_RELAXED);
}

static void post(quiesce_inbox *inbox, quiesce_arrival message) {
    worked_for = inbox->number;
    __atomic_store_n(&inbox->was_used, true, __ATOMIC_RELAXED);
    if (inbox->count == inbox->capacity) {
        int capacity = inbox->capacity ? inbox->capacity * 2 : 16;
        quiesce_arrival *larger = realloc(inbox->messages, (size_t)capacity * sizeof *larger);
        if (!larger) abort();
        inbox->messages = larger;
        inbox->capacity = capacity;
    }
    inbox->messages[inbox->count] = message;
    __atomic_store_n(&inbox->count, inbox->count + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&arrived);
}

static quiesce_inbox *inbox_of_execution(uint64_t execution) {
    quiesce_inbox *inbox = inboxes;
    while (inbox && inbox->execution != execution) inbox = inbox->next;
    return inbox;
}

// Nothing may run the tasks that are left any more.
static void bury(quiesce_inbox *inbox) {
    for (size_t i = 0; i < table_size && inbox->tasks > 0; i++) {
        if (table[i].inbox != inbox) continue;
        table[i].inbox = NULL;
        count_tasks(inbox, -1);
    }
    inbox->first = 0;
    __atomic_store_n(&inbox->count, 0, __ATOMIC_RELAXED);
    inbox->execution = ++executions;
}

quiesce_inbox *quiesce_inbox_create(void) {
    quiesce_inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox) return NULL;
    inbox->explorer = gettid();
    enter();
    inbox->execution = inbox->number = ++executions;
    inbox->next = inboxes;
    __atomic_store_n(&inboxes, inbox, __ATOMIC_RELAXED);
    leave();
    return inbox;
}

void quiesce_inbox_destroy(quiesce_inbox *inbox) {
    enter();
    bury(inbox);
    quiesce_inbox **link = &inboxes;
    while (*link != inbox) link = &(*link)->next;
    __atomic_store_n(link, inbox->next, __ATOMIC_RELAXED);
    uint64_t end = inbox->end ? inbox->end : ++executions;
    if (inbox->expects_others && end > last_end) last_end = end;
    bool may_be_claimed = unclaimed_count == 0;
    for (quiesce_inbox *other = inboxes; other && !may_be_claimed; other = other->next)
        may_be_claimed = other->number < unclaimed[0].time;
    leave();
    // The threads have said what happened, and wait until that is taken.
    if (!may_be_claimed) abort();
    free(inbox->messages);
    free(inbox);
}

void quiesce_inbox_retire(quiesce_inbox *inbox) {
    // Of tasks that have all completed there is nothing to come.
    bool is_done = __atomic_load_n(&inbox->tasks, __ATOMIC_RELAXED) == 0 && !quiesce_inbox_has_mail(inbox);
    if (is_done && !inbox->is_at_it) return;
    enter();
    inbox->is_at_it = false;
    if (!is_done) bury(inbox);
    leave();
}

void quiesce_inbox_add(quiesce_inbox *inbox, void *task) {
    enter();
    entry *known = find(task);
    if (known) {
        count_tasks(known->inbox, -1);
        known->inbox = inbox;
        known->is_away = false;
    } else {
        make_room();
        insert((entry){task, inbox, false});
        __atomic_store_n(&table_live, table_live + 1, __ATOMIC_RELAXED);
    }
    count_tasks(inbox, 1);
    leave();
}

void quiesce_inbox_remove(void *task) {
    enter();
    entry *known = find(task);
    if (known) forget(known);
    leave();
}

bool quiesce_inbox_take(quiesce_inbox *inbox, quiesce_arrival *arrival) {
    enter();
    bool found = inbox->first < inbox->count;
    if (found) *arrival = inbox->messages[inbox->first++];
    if (inbox->first == inbox->count) {
        inbox->first = 0;
        __atomic_store_n(&inbox->count, 0, __ATOMIC_RELAXED);
    }
    leave();
    return found;
}

bool quiesce_inbox_wait(quiesce_inbox *inbox, uint64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t end = (uint64_t)until.tv_nsec + nanoseconds;
    until.tv_sec += (time_t)(end / 1000000000);
    until.tv_nsec = (long)(end % 1000000000);
    enter();
    int result = 0;
    while (inbox->count == 0 && result == 0) result = pthread_cond_clockwait(&arrived, &lock, CLOCK_MONOTONIC, &until);
    bool found = inbox->count > 0;
    leave();
    return found;
}

bool quiesce_inbox_has_mail(const quiesce_inbox *inbox) { return __atomic_load_n(&inbox->count, __ATOMIC_ACQUIRE) > 0; }

bool quiesce_inbox_was_used(const quiesce_inbox *inbox) { return __atomic_load_n(&inbox->was_used, __ATOMIC_RELAXED); }

bool quiesce_inbox_any(void) { return __atomic_load_n(&table_live, __ATOMIC_RELAXED) > 0; }

void quiesce_inbox_tell(uint8_t kind, void *task, void *executor) {
    served.actor = NULL;
    enter();
    entry *known = find(task);
    if (known) {
        known->is_away = kind == quiesce_arrival_begins;
        if (kind == quiesce_arrival_queued) {
            quiesce_jobs_level(task);
            served.actor = executor;
            served.execution = known->inbox ? known->inbox->execution : 0;
        }
        if (known->inbox) post(known->inbox, (quiesce_arrival){.job = task, .executor = executor, .kind = kind});
        if (kind == quiesce_arrival_completed) forget(known);
    }
    leave();
}

void quiesce_inbox_note(void *task) {
    enter();
    entry *known = find(task);
    if (known && known->inbox) __atomic_store_n(&known->inbox->was_used, true, __ATOMIC_RELAXED);
    leave();
}

// Whether the job serves the explored actor that this thread has just queued a task for.
static bool serves(const void *job) {
    if (!served.actor) return false;
    uintptr_t offset = (uintptr_t)job - (uintptr_t)served.actor;
    return offset < actor_size || *(void *const *)((const char *)job + served_actor) == served.actor;
}

bool quiesce_inbox_give(void *job, uint8_t job_kind, bool is_main) {
    bool is_actors = job_kind == serves_actor && serves(job);
    served.actor = is_actors ? served.actor : NULL;
    if (!is_actors && job_kind != 0) return false;
    enter();
    entry *known = is_actors ? NULL : find(job);
    quiesce_inbox *inbox = is_actors ? inbox_of_execution(served.execution) : known ? known->inbox : NULL;
    if (inbox) {
        quiesce_arrival message = {.job = job, .kind = quiesce_arrival_enqueued, .job_kind = job_kind, .is_main = is_main};
        post(inbox, message);
    }
    leave();
    served.actor = NULL;
    return is_actors || known;
}

void quiesce_inbox_expect_others(quiesce_inbox *inbox) {
    if (inbox->is_at_it) return;
    enter();
    inbox->expects_others = inbox->is_at_it = true;
    leave();
}

// A thread that runs a task works for the exploration of that task. One that runs none, such as a
// worker of Dispatch, works for the one for whose tasks it has done something; or else for one of
// those that gave work away.
bool quiesce_inbox_take_over_trap(const quiesce_trap *trap) {
    void *task = swift_task_getCurrent ? swift_task_getCurrent() : NULL;
    enter();
    quiesce_inbox *owner = NULL;
    int candidates = 0;
    if (task) {
        entry *known = find(task);
        owner = known ? known->inbox : NULL;
    } else {
        for (quiesce_inbox *inbox = inboxes; inbox; inbox = inbox->next)
            if (inbox->number == worked_for) owner = inbox;
        // An exploration has several inboxes, and executes with one at a time.
        quiesce_inbox *candidate = NULL;
        for (quiesce_inbox *inbox = inboxes; inbox && !owner; inbox = inbox->next) {
            if (!inbox->expects_others) continue;
            candidates += !candidate || candidate->explorer != inbox->explorer;
            if (!candidate || inbox->is_at_it) candidate = inbox;
        }
        if (candidates == 1) owner = candidate;
    }
    if (owner) post(owner, (quiesce_arrival){.kind = quiesce_arrival_trapped, .trap = trap});
    bool is_kept = !owner && candidates > 1 && unclaimed_count < unclaimed_max;
    if (is_kept) {
        unclaimed[unclaimed_count].trap = trap;
        unclaimed[unclaimed_count++].time = ++executions;
    }
    leave();
    return owner || is_kept;
}

void quiesce_inbox_end_explorations(void) {
    pid_t self = gettid();
    enter();
    for (quiesce_inbox *inbox = inboxes; inbox; inbox = inbox->next)
        if (inbox->explorer == self && inbox->end == 0) inbox->end = ++executions;
    leave();
}

// Whether another exploration that was not over at `time` may have to do with a trap of then.
static bool has_rival(const quiesce_inbox *inbox, uint64_t time) {
    if (last_end > time) return true;
    for (quiesce_inbox *other = inboxes; other; other = other->next) {
        bool was_there = other->number < time && (other->end == 0 || other->end > time);
        if (was_there && other->expects_others && other->explorer != inbox->explorer) return true;
    }
    return false;
}

const quiesce_trap *quiesce_inbox_claim_trap(quiesce_inbox *inbox, bool in_vain) {
    const quiesce_trap *claimed = NULL;
    enter();
    for (int i = 0; i < unclaimed_count && inbox->expects_others && inbox->count == 0; i++) {
        if (unclaimed[i].time < inbox->number || (!in_vain && has_rival(inbox, unclaimed[i].time))) continue;
        claimed = unclaimed[i].trap;
        unclaimed_count--;
        for (int j = i; j < unclaimed_count; j++) unclaimed[j] = unclaimed[j + 1];
        break;
    }
    leave();
    return claimed;
}

int32_t quiesce_inbox_frames(void *task, uintptr_t *frames, int32_t capacity) {
    enter();
    entry *known = find(task);
    int32_t count = known && !known->is_away ? quiesce_jobs_frames(task, frames, capacity) : 0;
    leave();
    return count;
}

bool quiesce_inbox_retain(void *task) {
    enter();
    bool is_alive = find(task) != NULL && swift_retain;
    if (is_alive) swift_retain(task);
    leave();
    return is_alive;
}

void quiesce_inbox_release(void *task) {
    if (swift_release) swift_release(task);
}
#endif
