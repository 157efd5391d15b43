// SPDX-License-Identifier: Apache-2.0
//
// Platforms on which Quiesce does not run: what depends on it compiles there too, and traps with a
// sentence when it is used.

#include "CSubstrate.h"
#include <stdio.h>
#include <stdlib.h>

#define TRAPS(result, name, parameters) \
    result name parameters { not_here(); }

bool quiesce_has_explorer(void) { return QUIESCE_HAS_EXPLORER; }

#if !QUIESCE_HAS_MACHINE || !QUIESCE_HAS_EXPLORER
static _Noreturn void not_here(void) {
    fputs(QUIESCE_HAS_MACHINE ? "fatal error: Quiesce explores on Linux with glibc, on x86-64 and aarch64, and not on this platform\n"
                              : "fatal error: Quiesce runs on 64-bit Linux, and not on this platform\n",
          stderr);
    abort();
}
#endif

#if !QUIESCE_HAS_MACHINE
TRAPS(void, quiesce_block_watch_exit, (void (*a)(quiesce_block *)))

TRAPS(int32_t, quiesce_futex_wait, (const void *a, uint32_t b, uint64_t c))
TRAPS(int32_t, quiesce_futex_wake, (const void *a, int32_t b))
TRAPS(bool, quiesce_membarrier_register, (void))
TRAPS(bool, quiesce_membarrier, (void))
TRAPS(bool, quiesce_is_readable, (const void *a))
TRAPS(void, quiesce_yield, (void))
TRAPS(uint64_t, quiesce_monotonic_nanoseconds, (void))
TRAPS(void, quiesce_sleep_until, (uint64_t a))
TRAPS(int32_t, quiesce_processor_count, (void))
TRAPS(int32_t, quiesce_thread_id, (void))
TRAPS(bool, quiesce_thread_name, (int32_t a, char b[16]))
TRAPS(size_t, quiesce_allocated_size, (const void *a))
TRAPS(int32_t, quiesce_thread_start, (unsigned long *a, const char *b, bool c, void (*d)(void *), void *e))
TRAPS(void, quiesce_thread_join, (unsigned long a))
TRAPS(void, quiesce_thread_detach, (unsigned long a))
TRAPS(int32_t, quiesce_eventfd, (uint32_t a, bool b))
TRAPS(int64_t, quiesce_descriptor_read, (int32_t a, void *b, size_t c))
TRAPS(int64_t, quiesce_descriptor_write, (int32_t a, const void *b, size_t c))
TRAPS(int32_t, quiesce_descriptor_poll, (int32_t a))
TRAPS(int32_t, quiesce_descriptor_duplicate, (int32_t a))
TRAPS(void, quiesce_descriptor_close, (int32_t a))
TRAPS(int32_t, quiesce_epoll_create, (void))
TRAPS(int32_t, quiesce_epoll_control, (int32_t a, int32_t b, int32_t c, uint32_t d, uint64_t e))
TRAPS(int32_t, quiesce_epoll_wait, (int32_t a, quiesce_ready b[64]))

void quiesce_write_error(const void *bytes, size_t count) { fwrite(bytes, 1, count, stderr); }
void quiesce_keep(const void *value) { (void)value; }
#endif

#if !QUIESCE_HAS_EXPLORER
TRAPS(quiesce_fiber *, quiesce_fiber_host, (void))
TRAPS(quiesce_fiber *, quiesce_fiber_create, (size_t a))
TRAPS(void, quiesce_fiber_destroy, (quiesce_fiber *a))
TRAPS(void, quiesce_fiber_prepare, (quiesce_fiber *a, void (*b)(void *), void *c, const quiesce_block *d))
TRAPS(void, quiesce_fiber_switch, (quiesce_fiber *a, quiesce_fiber *b))
TRAPS(bool, quiesce_fiber_contains, (const quiesce_fiber *a, uintptr_t b))
TRAPS(size_t, quiesce_fiber_core_image_size, (void))
TRAPS(size_t, quiesce_fiber_concurrency_image_size, (void))
TRAPS(bool, quiesce_runtime_is_linked_in, (void))
TRAPS(bool, quiesce_find_thread_locals, (const void *a, size_t b, const char *const *c, uint64_t *d, int e))
TRAPS(void, quiesce_trap_begin, (quiesce_fiber *a, quiesce_fiber **b, quiesce_trap *c, void (*d)(void *), void *e))
TRAPS(void, quiesce_trap_end, (void))
TRAPS(bool, quiesce_trap_is_begun, (void))
TRAPS(void, quiesce_trap_interrupt, (int32_t a))
TRAPS(void, quiesce_report_fatal, (const uint32_t *a, int32_t b))
TRAPS(const char *, quiesce_symbol_name, (uintptr_t a, uintptr_t *b))
TRAPS(int32_t, quiesce_backtrace, (uintptr_t *a, int32_t b))
TRAPS(const char *, quiesce_module_name, (uintptr_t a, uintptr_t *b))
TRAPS(bool, quiesce_start_tool, (char **a, int32_t *b, int32_t *c))
TRAPS(char *, quiesce_demangle, (const char *a))
TRAPS(void, quiesce_free_text, (char *a))
TRAPS(void, quiesce_call, (quiesce_closure a))
const int32_t quiesce_trap_stuck = 0;

TRAPS(quiesce_inbox *, quiesce_inbox_create, (void))
TRAPS(void, quiesce_inbox_destroy, (quiesce_inbox *a))
TRAPS(void, quiesce_inbox_retire, (quiesce_inbox *a))
TRAPS(void, quiesce_inbox_add, (quiesce_inbox *a, void *b))
TRAPS(void, quiesce_inbox_remove, (void *a))
TRAPS(bool, quiesce_inbox_take, (quiesce_inbox *a, quiesce_arrival *b))
TRAPS(bool, quiesce_inbox_wait, (quiesce_inbox *a, uint64_t b))
TRAPS(bool, quiesce_inbox_has_mail, (const quiesce_inbox *a))
TRAPS(bool, quiesce_inbox_was_used, (const quiesce_inbox *a))
TRAPS(void, quiesce_inbox_expect_others, (quiesce_inbox *a))
TRAPS(bool, quiesce_inbox_take_over_trap, (const quiesce_trap *a))
TRAPS(const quiesce_trap *, quiesce_inbox_claim_trap, (quiesce_inbox *a, bool b))
TRAPS(void, quiesce_inbox_end_explorations, (void))
TRAPS(bool, quiesce_inbox_any, (void))
TRAPS(void, quiesce_inbox_tell, (uint8_t a, void *b, void *c))
TRAPS(void, quiesce_inbox_note, (void *a))
TRAPS(bool, quiesce_inbox_give, (void *a, uint8_t b, bool c))
TRAPS(int32_t, quiesce_inbox_frames, (void *a, uintptr_t *b, int32_t c))
TRAPS(bool, quiesce_inbox_retain, (void *a))
TRAPS(void, quiesce_inbox_release, (void *a))

TRAPS(void, quiesce_interpose, (quiesce_replacement *a, int b))
TRAPS(bool, quiesce_interposition_excludes, (const quiesce_interposition *a, const char *b))
TRAPS(bool, quiesce_interposition_find, (quiesce_interposition *a, quiesce_replacement *b, int c))
TRAPS(void, quiesce_interposition_set, (quiesce_interposition *a, bool b))

TRAPS(bool, quiesce_jobs_listen, (const quiesce_job_listener *a))
TRAPS(void, quiesce_jobs_learn, (const void *a))
TRAPS(void, quiesce_jobs_leave_by_queue, (void))
TRAPS(void *, quiesce_jobs_destination, (const void *a))
TRAPS(void, quiesce_jobs_level, (void *a))
TRAPS(int32_t, quiesce_jobs_frames, (const void *a, uintptr_t *b, int32_t c))
TRAPS(const char *, quiesce_jobs_name, (void *a))
TRAPS(void, quiesce_jobs_lend_locals, (struct quiesce_fiber *a, const void *b))
TRAPS(void, quiesce_jobs_want_order, (bool a))
TRAPS(void, quiesce_jobs_learn_stream, (void (*a)(void)))
TRAPS(bool, quiesce_jobs_is_cancelled, (const void *a))
TRAPS(uint64_t, quiesce_jobs_identity, (void *a))
TRAPS(void, quiesce_release_to_last, (void *a))
TRAPS(void, quiesce_jobs_cancel, (void *a))

extern void *swift_task_getCurrent(void);
void *quiesce_jobs_current(void) { return swift_task_getCurrent(); }
#endif
