// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "fiber_internal.h"

#if QUIESCE_HAS_EXPLORER
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// The thread-locals of the Swift runtime. Where the runtime consists of libraries, they are the
// thread-local segments of two of these. Where it is linked statically, they are among those of the
// program, and the program's symbols tell which ones.

_Thread_local quiesce_runtime_locals quiesce_locals;

// Only the address is of interest: it lies in the file that holds the runtime.
extern void swift_release(void *) __attribute__((weak));

// The first tells where the segment begins in memory.
static const char *const names[] = {
    "quiesce_thread_block",
    // The accesses that exclusivity is enforced for, and a word after them.
    "_ZZN5swift7runtime15SwiftTLSContext3getEvE10TLSContext",
    "_ZN12_GLOBAL__N_110ActiveTask5ValueE",
    "_ZN12_GLOBAL__N_120ExecutorTrackingInfo18ActiveInfoInThreadE",
    "_ZN24FallbackTaskLocalStorage5ValueE",
};
enum { name_count = sizeof names / sizeof *names };

static pthread_once_t file_sought = PTHREAD_ONCE_INIT, offsets_sought = PTHREAD_ONCE_INIT;
static bool is_linked_in, has_offsets;
static uint64_t offsets[name_count];
static char own_file[4096];

static bool holds(const struct dl_phdr_info *info, uintptr_t address) {
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && address >= start && address - start < part->p_memsz) return true;
    }
    return false;
}

static int find_own_file(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    if (!holds(info, (uintptr_t)names)) return 0;
    is_linked_in = &swift_release && holds(info, (uintptr_t)&swift_release);
    // The program itself has no name here.
    const char *name = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
    strncpy(own_file, name, sizeof own_file - 1);
    return 1;
}

static void seek_file(void) { dl_iterate_phdr(find_own_file, NULL); }

static void find_offsets(void) {
    int file = open(own_file, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    struct stat status;
    if (fstat(file, &status) == 0 && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes != MAP_FAILED) {
            has_offsets = quiesce_find_thread_locals(bytes, (size_t)status.st_size, names, offsets, name_count);
            munmap(bytes, (size_t)status.st_size);
        }
    }
    close(file);
}

bool quiesce_runtime_is_linked_in(void) {
    pthread_once(&file_sought, seek_file);
    return is_linked_in;
}

static int find_segments(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)unused;
    if (size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data || !info->dlpi_name) return 0;
    bool is_core = strstr(info->dlpi_name, "libswiftCore.so") != NULL;
    bool is_concurrency = strstr(info->dlpi_name, "libswift_Concurrency.so") != NULL;
    if (!is_core && !is_concurrency) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
        size_t words = (info->dlpi_phdr[i].p_memsz + 7) / 8;
        if (words > image_words_max || !info->dlpi_tls_data) continue;
        uint64_t **found = is_core ? quiesce_locals.core : quiesce_locals.concurrency;
        for (size_t word = 0; word < words; word++) found[word] = (uint64_t *)info->dlpi_tls_data + word;
        if (is_core) quiesce_locals.core_words = words;
        else quiesce_locals.concurrency_words = words;
    }
    return 0;
}

static void use_offsets(void) {
    char *segment = (char *)&quiesce_thread_block - offsets[0];
    quiesce_locals.core_words = 2;
    quiesce_locals.core[0] = (uint64_t *)(segment + offsets[1]);
    quiesce_locals.core[1] = quiesce_locals.core[0] + 1;
    // At the places that they have in the segment of the library. The word before them, the number
    // of the thread, is the same for all of its fibers.
    quiesce_locals.concurrency_words = 4;
    for (int i = 2; i < name_count; i++) quiesce_locals.concurrency[i - 1] = (uint64_t *)(segment + offsets[i]);
}

void quiesce_locals_find(void) {
    if (!quiesce_runtime_is_linked_in()) dl_iterate_phdr(find_segments, NULL);
    quiesce_locals.is_usual = quiesce_locals.core_words == 3 && quiesce_locals.concurrency_words == 4;
    quiesce_locals.is_sought = true;
}

void quiesce_locals_prepare(void) {
    quiesce_locals_know();
    if (!quiesce_runtime_is_linked_in()) return;
    pthread_once(&offsets_sought, find_offsets);
    if (has_offsets) use_offsets();
}

size_t quiesce_fiber_core_image_size(void) {
    quiesce_locals_prepare();
    return quiesce_locals.core_words * 8;
}

size_t quiesce_fiber_concurrency_image_size(void) {
    quiesce_locals_prepare();
    return quiesce_locals.concurrency_words * 8;
}

static bool is_inside(size_t size, uint64_t offset, uint64_t length) { return offset <= size && length <= size - offset; }

static bool is_text(const char *texts, uint64_t size, uint64_t offset, const char *text) {
    size_t length = strlen(text) + 1;
    return is_inside(size, offset, length) && memcmp(texts + offset, text, length) == 0;
}

bool quiesce_find_thread_locals(const void *bytes, size_t size, const char *const *sought_names, uint64_t *found, int count) {
    const char *file = bytes;
    Elf64_Ehdr header;
    if (size < sizeof header) return false;
    memcpy(&header, file, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return false;
    if (header.e_shentsize != sizeof(Elf64_Shdr)) return false;
    if (!is_inside(size, header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr))) return false;
    int times[16] = {0};
    if (count > 16) return false;
    for (uint32_t i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr table, texts;
        memcpy(&table, file + header.e_shoff + i * sizeof table, sizeof table);
        if (table.sh_type != SHT_SYMTAB || table.sh_link >= header.e_shnum) continue;
        memcpy(&texts, file + header.e_shoff + table.sh_link * sizeof texts, sizeof texts);
        if (!is_inside(size, table.sh_offset, table.sh_size) || !is_inside(size, texts.sh_offset, texts.sh_size)) return false;
        for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= table.sh_size; at += sizeof(Elf64_Sym)) {
            Elf64_Sym symbol;
            memcpy(&symbol, file + table.sh_offset + at, sizeof symbol);
            if (ELF64_ST_TYPE(symbol.st_info) != STT_TLS || symbol.st_shndx == SHN_UNDEF) continue;
            for (int name = 0; name < count; name++) {
                if (!is_text(file + texts.sh_offset, texts.sh_size, symbol.st_name, sought_names[name])) continue;
                found[name] = symbol.st_value;
                times[name]++;
            }
        }
    }
    for (int name = 0; name < count; name++)
        if (times[name] != 1) return false;
    return true;
}
#endif
