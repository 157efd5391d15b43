// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "fiber_internal.h"

#if QUIESCE_HAS_EXPLORER
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// The switch saves what the C calling convention says a callee must keep, on the stack that is
// left. That includes how the processor rounds and which of its exceptions trap: those registers
// are slow to load, so they are loaded where they differ.
#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl quiesce_stack_switch\n"
        ".hidden quiesce_stack_switch\n"
        ".type quiesce_stack_switch,@function\n"
        "quiesce_stack_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  subq $8, %rsp\n  stmxcsr (%rsp)\n  fnstcw 4(%rsp)\n"
        "  movl (%rsp), %eax\n  movzwl 4(%rsp), %ecx\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        // The lowest six bits of MXCSR say what has happened: the callee may change them.
        "  xorl (%rsp), %eax\n  xorw 4(%rsp), %cx\n  andl $0xffc0, %eax\n  orl %ecx, %eax\n"
        "  jnz 1f\n"
        "0:\n  addq $8, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        // A jump, not a return: the processor would predict that it goes back to the stack that is
        // left.
        "  popq %rcx\n  jmp *%rcx\n"
        "1:\n  ldmxcsr (%rsp)\n  fldcw 4(%rsp)\n  jmp 0b\n"
        ".size quiesce_stack_switch, .-quiesce_stack_switch\n"
        ".hidden quiesce_fiber_begin\n"
        ".globl quiesce_fiber_begin\n"
        ".type quiesce_fiber_begin,@function\n"
        "quiesce_fiber_begin:\n"
        "  movq %rbx, %rdi\n  xorl %ebp, %ebp\n  call quiesce_fiber_main\n  ud2\n"
        ".size quiesce_fiber_begin, .-quiesce_fiber_begin\n");
enum { saved_words = 7 };
#elif defined(__aarch64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl quiesce_stack_switch\n"
        ".hidden quiesce_stack_switch\n"
        ".type quiesce_stack_switch,%function\n"
        "quiesce_stack_switch:\n"
        "  sub sp, sp, #176\n"
        "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n  stp x25, x26, [sp, #48]\n"
        "  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mrs x9, fpcr\n  str x9, [sp, #160]\n"
        "  mov x10, sp\n  str x10, [x0]\n  mov sp, x1\n"
        "  ldr x10, [sp, #160]\n  cmp x9, x10\n  b.eq 0f\n  msr fpcr, x10\n0:\n"
        "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n  ldp x25, x26, [sp, #48]\n"
        "  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #176\n"
        "  ret\n"
        ".size quiesce_stack_switch, .-quiesce_stack_switch\n"
        ".hidden quiesce_fiber_begin\n"
        ".globl quiesce_fiber_begin\n"
        ".type quiesce_fiber_begin,%function\n"
        "quiesce_fiber_begin:\n"
        "  mov x0, x19\n  mov x29, #0\n  bl quiesce_fiber_main\n  brk #1\n"
        ".size quiesce_fiber_begin, .-quiesce_fiber_begin\n");
enum { saved_words = 22 };
#endif

extern void quiesce_stack_switch(void **save, void *load) __attribute__((visibility("hidden")));
// The first frame of a fiber: passes the fiber, which `prepare` left in a register that switches
// keep, to `quiesce_fiber_main`.
extern void quiesce_fiber_begin(void) __attribute__((visibility("hidden")));
__attribute__((visibility("hidden"), noreturn, used)) void quiesce_fiber_main(quiesce_fiber *fiber);

static inline void copy_in(uint64_t *image, uint64_t *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (words[i]) image[i] = *words[i];
}

static inline void copy_out(uint64_t *const *words, const uint64_t *image, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (words[i]) *words[i] = image[i];
}

static inline void save_images(quiesce_fiber *fiber) {
    fiber->block = quiesce_thread_block;
    if (__builtin_expect(quiesce_locals.is_usual, 1)) {
        memcpy(fiber->core, quiesce_locals.core[0], 3 * sizeof(uint64_t));
        memcpy(fiber->concurrency, quiesce_locals.concurrency[0], 4 * sizeof(uint64_t));
        return;
    }
    copy_in(fiber->core, quiesce_locals.core, quiesce_locals.core_words);
    copy_in(fiber->concurrency, quiesce_locals.concurrency, quiesce_locals.concurrency_words);
}

static inline void load_images(const quiesce_fiber *fiber) {
    quiesce_thread_block = fiber->block;
    if (__builtin_expect(quiesce_locals.is_usual, 1)) {
        memcpy(quiesce_locals.core[0], fiber->core, 3 * sizeof(uint64_t));
        memcpy(quiesce_locals.concurrency[0], fiber->concurrency, 4 * sizeof(uint64_t));
        return;
    }
    copy_out(quiesce_locals.core, fiber->core, quiesce_locals.core_words);
    copy_out(quiesce_locals.concurrency, fiber->concurrency, quiesce_locals.concurrency_words);
}

// Sanitizers are told of every switch: one follows what orders threads, the other which stack is in
// use. Nothing of this is there in other builds.
#if __has_feature(thread_sanitizer)
extern void *__tsan_create_fiber(unsigned flags), *__tsan_get_current_fiber(void);
extern void __tsan_destroy_fiber(void *fiber), __tsan_switch_to_fiber(void *fiber, unsigned flags);
static void announce_creation(quiesce_fiber *fiber) { fiber->announced = __tsan_create_fiber(0); }
static void announce_host(quiesce_fiber *fiber) { fiber->announced = __tsan_get_current_fiber(); }
static void announce_end(quiesce_fiber *fiber) { __tsan_destroy_fiber(fiber->announced); }
// All fibers are on one thread, and a switch orders them.
#define announce_switch(from, to) __tsan_switch_to_fiber((to)->announced, 0)
#define announce_arrival(fiber) (void)(fiber)
#elif __has_feature(address_sanitizer)
extern void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
extern void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
static void announce_creation(quiesce_fiber *fiber) { (void)fiber; }
// What stands in for the fiber's stack is kept from run to run, and freed as if the fiber were left
// for good: the sanitizer has no other way.
__attribute__((no_sanitize("address"))) static void announce_end(quiesce_fiber *fiber) {
    if (!fiber->fake_stack) return;
    void *own;
    const void *bottom;
    size_t size;
    __sanitizer_start_switch_fiber(&own, fiber->stack, fiber->size);
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &bottom, &size);
    __sanitizer_start_switch_fiber(NULL, bottom, size);
    __sanitizer_finish_switch_fiber(own, NULL, NULL);
}
static void announce_host(quiesce_fiber *fiber) {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    pthread_attr_getstack(&attributes, &fiber->announced, &fiber->size);
    pthread_attr_destroy(&attributes);
}
static void announce_switch(quiesce_fiber *from, const quiesce_fiber *to) {
    const void *bottom = to->stack ? to->stack : to->announced;
    __sanitizer_start_switch_fiber(from ? &from->fake_stack : NULL, bottom, to->size);
}
static void announce_arrival(quiesce_fiber *fiber) {
    __sanitizer_finish_switch_fiber(fiber->fake_stack, NULL, NULL);
    // A fiber that is abandoned from here on has none: it is freed then.
    fiber->fake_stack = NULL;
}
#else
#define announce_creation(fiber) (void)(fiber)
#define announce_host(fiber) (void)(fiber)
#define announce_end(fiber) (void)(fiber)
#define announce_switch(from, to) (void)(to)
#define announce_arrival(fiber) (void)(fiber)
#endif

void quiesce_fiber_switch(quiesce_fiber *from, quiesce_fiber *to) {
    save_images(from);
    load_images(to);
    announce_switch(from, to);
    quiesce_stack_switch(&from->sp, to->sp);
    announce_arrival(from);
}

void quiesce_fiber_resume(quiesce_fiber *to) {
    // Not on the stack that is left: a sanitizer takes back what stands in for it.
    static _Thread_local void *abandoned;
    load_images(to);
    announce_switch((quiesce_fiber *)NULL, to);
    quiesce_stack_switch(&abandoned, to->sp);
    __builtin_unreachable();
}

quiesce_fiber *quiesce_fiber_host(void) {
    quiesce_locals_prepare();
    quiesce_fiber *fiber = calloc(1, sizeof *fiber);
    if (!fiber) abort();
    announce_host(fiber);
    return fiber;
}

quiesce_fiber *quiesce_fiber_create(size_t stack_size) {
    quiesce_fiber *fiber = calloc(1, sizeof *fiber);
    if (!fiber) return NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    fiber->size = stack_size + page;
    fiber->stack = mmap(NULL, fiber->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    // Without its guard page a stack is of no use.
    bool is_mapped = fiber->stack != MAP_FAILED;
    if (!is_mapped || mprotect(fiber->stack, page, PROT_NONE) != 0) {
        if (is_mapped) munmap(fiber->stack, fiber->size);
        free(fiber);
        return NULL;
    }
    announce_creation(fiber);
    return fiber;
}

void quiesce_fiber_destroy(quiesce_fiber *fiber) {
    if (fiber->stack) {
        announce_end(fiber);
        munmap(fiber->stack, fiber->size);
    }
    free(fiber);
}

bool quiesce_fiber_contains(const quiesce_fiber *fiber, uintptr_t address) {
    return fiber->stack && address >= (uintptr_t)fiber->stack && address < (uintptr_t)fiber->stack + fiber->size;
}

void quiesce_fiber_main(quiesce_fiber *fiber) {
    announce_arrival(fiber);
    fiber->entry(fiber->context);
    abort();
}

void quiesce_fiber_prepare(quiesce_fiber *fiber, void (*entry)(void *), void *context, const quiesce_block *block) {
    fiber->entry = entry;
    fiber->context = context;
    fiber->block = *block;
    memset(fiber->core, 0, sizeof fiber->core);
    memset(fiber->concurrency, 0, sizeof fiber->concurrency);
    quiesce_forget_frames(fiber->stack, fiber->size);
    uintptr_t *top = (uintptr_t *)((char *)fiber->stack + fiber->size);
#if defined(__x86_64__)
    // `quiesce_fiber_begin` starts with the stack at a multiple of 16, as its call instruction
    // needs it.
    top[-1] = (uintptr_t)quiesce_fiber_begin;
    uintptr_t *saved = top - 1 - saved_words;
    memset(saved, 0, saved_words * sizeof *saved);
    // A fiber begins with what its creator has, as a thread does.
    __asm__("stmxcsr %0" : "=m"(*(uint32_t *)saved));
    __asm__("fnstcw %0" : "=m"(*((uint16_t *)saved + 2)));
    saved[5] = (uintptr_t)fiber;  // rbx
#else
    uintptr_t *saved = top - saved_words;
    memset(saved, 0, saved_words * sizeof *saved);
    // A fiber begins with what its creator has, as a thread does.
    __asm__("mrs %0, fpcr" : "=r"(saved[20]));
    saved[0] = (uintptr_t)fiber;         // x19
    saved[11] = (uintptr_t)quiesce_fiber_begin;  // x30
#endif
    fiber->sp = saved;
}

void quiesce_call(quiesce_closure closure) {
    typedef __attribute__((swiftcall)) void swift_function(__attribute__((swift_context)) void *context);
    ((swift_function *)closure.function)(closure.context);
}
#endif
