// SPDX-License-Identifier: Apache-2.0

#include "quiesce_block.h"
#include "quiesce_platform.h"

_Thread_local quiesce_block quiesce_thread_block __attribute__((tls_model("initial-exec")));

uint32_t quiesce_forking;

_Thread_local uint32_t quiesce_thread_muted __attribute__((tls_model("initial-exec")));

#if QUIESCE_HAS_MACHINE
#include <pthread.h>
#include <stdlib.h>

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static void (*exit_handler)(quiesce_block *);

static void run_exit_handler(void *block) { __atomic_load_n(&exit_handler, __ATOMIC_RELAXED)(block); }

static void create_exit_key(void) {
    if (pthread_key_create(&exit_key, run_exit_handler) != 0) abort();
}

void quiesce_block_watch_exit(void (*on_exit)(quiesce_block *)) {
    // Every thread stores the same.
    __atomic_store_n(&exit_handler, on_exit, __ATOMIC_RELAXED);
    pthread_once(&exit_once, create_exit_key);
    pthread_setspecific(exit_key, &quiesce_thread_block);
}
#endif

uint32_t quiesce_lock_sites_wanted;

void quiesce_want_lock_sites(void) { __atomic_store_n(&quiesce_lock_sites_wanted, 1, __ATOMIC_RELAXED); }
