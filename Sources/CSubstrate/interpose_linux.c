// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "quiesce_interpose.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_EXPLORER
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { by_call = R_X86_64_JUMP_SLOT, by_address = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { by_call = R_AARCH64_JUMP_SLOT, by_address = R_AARCH64_GLOB_DAT };
#endif

struct quiesce_call_slot {
    void **slot, *function, *original;
    bool is_writable;
};

typedef struct search {
    quiesce_replacement *replacements;
    int count;
    // Where the places are kept; null to replace at once.
    quiesce_interposition *places;
    // By character: whether a symbol begins with it. Most do not.
    bool begins[256];
} search;

static search search_for(quiesce_replacement *replacements, int count, quiesce_interposition *places) {
    search wanted = {.replacements = replacements, .count = count, .places = places};
    for (int i = 0; i < count; i++) {
        quiesce_replacement *replacement = &replacements[i];
        replacement->found = 0;
        if (replacement->real) {
            void *function = dlsym(RTLD_DEFAULT, replacement->symbol);
            // Read by threads that nothing else orders behind this.
            __atomic_store_n(replacement->real, function, __ATOMIC_RELAXED);
            if (!function) replacement->found = -1;
        }
        if (replacement->found == 0) wanted.begins[(uint8_t)replacement->symbol[0]] = true;
    }
    return wanted;
}

static bool is_wanted_of(const search *wanted, const char *library) {
    for (int i = 0; i < wanted->count; i++) {
        const char *part = wanted->replacements[i].library;
        if (!part || (library && strstr(library, part))) return true;
    }
    return false;
}

static uintptr_t relocated(const struct dl_phdr_info *info, uintptr_t address) {
    return address < info->dlpi_addr ? info->dlpi_addr + address : address;
}

// The table of offsets may be read-only once the program has started.
static bool write_slot(void **slot, void *value) {
    if (__atomic_load_n(slot, __ATOMIC_RELAXED) == value) return true;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)slot & ~(page - 1);
    if (mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0) return false;
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    return true;
}

static void keep(quiesce_interposition *places, void **slot, void *function) {
    if (places->count == places->capacity) {
        int capacity = places->capacity ? places->capacity * 2 : 64;
        struct quiesce_call_slot *larger = realloc(places->slots, (size_t)capacity * sizeof *larger);
        if (!larger) return;
        places->slots = larger;
        places->capacity = capacity;
    }
    places->slots[places->count++] = (struct quiesce_call_slot){.slot = slot, .function = function};
}

bool quiesce_interposition_excludes(const quiesce_interposition *places, const char *library) {
    for (int i = 0; library && places->excluded[i]; i++) {
        if (strstr(library, places->excluded[i])) return true;
    }
    return false;
}

static int patch(struct dl_phdr_info *info, size_t size, void *argument) {
    (void)size;
    const search *wanted = argument;
    if (wanted->places && quiesce_interposition_excludes(wanted->places, info->dlpi_name)) return 0;
    if (!is_wanted_of(wanted, info->dlpi_name)) return 0;
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    }
    if (!dynamic) return 0;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    // Those of calls, and all others.
    const ElfW(Rela) *tables[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        switch (dynamic->d_tag) {
        case DT_SYMTAB: symbols = (const void *)relocated(info, dynamic->d_un.d_ptr); break;
        case DT_STRTAB: names = (const void *)relocated(info, dynamic->d_un.d_ptr); break;
        case DT_JMPREL: tables[0] = (const void *)relocated(info, dynamic->d_un.d_ptr); break;
        case DT_PLTRELSZ: sizes[0] = dynamic->d_un.d_val; break;
        case DT_RELA: tables[1] = (const void *)relocated(info, dynamic->d_un.d_ptr); break;
        case DT_RELASZ: sizes[1] = dynamic->d_un.d_val; break;
        default: break;
        }
    }
    if (!symbols || !names) return 0;
    for (int table = 0; table < 2; table++) {
        for (size_t i = 0; tables[table] && i < sizes[table] / sizeof(ElfW(Rela)); i++) {
            const ElfW(Rela) *entry = &tables[table][i];
            uint32_t type = ELF64_R_TYPE(entry->r_info);
            if (type != by_call && type != by_address) continue;
            const char *name = names + symbols[ELF64_R_SYM(entry->r_info)].st_name;
            if (!wanted->begins[(uint8_t)name[0]]) continue;
            for (int j = 0; j < wanted->count; j++) {
                quiesce_replacement *replacement = &wanted->replacements[j];
                // Most differ in one of these.
                if (name[0] != replacement->symbol[0] || name[1] != replacement->symbol[1] || name[2] != replacement->symbol[2]) continue;
                if (strcmp(name, replacement->symbol) != 0 || replacement->found < 0) continue;
                if (replacement->library && !(info->dlpi_name && strstr(info->dlpi_name, replacement->library))) continue;
                void **slot = (void **)(info->dlpi_addr + entry->r_offset);
                if (wanted->places) {
                    keep(wanted->places, slot, replacement->function);
                    replacement->found++;
                } else if (write_slot(slot, replacement->function)) {
                    replacement->found++;
                }
            }
        }
    }
    return 0;
}

void quiesce_interpose(quiesce_replacement *replacements, int count) {
    search wanted = search_for(replacements, count, NULL);
    dl_iterate_phdr(patch, &wanted);
}

bool quiesce_interposition_find(quiesce_interposition *interposition, quiesce_replacement *replacements, int count) {
    search wanted = search_for(replacements, count, interposition);
    dl_iterate_phdr(patch, &wanted);
    for (int i = 0; i < count; i++) {
        if (replacements[i].found < 0) return false;
    }
    return true;
}

void quiesce_interposition_set(quiesce_interposition *interposition, bool on) {
    if (interposition->is_on == on) return;
    interposition->is_on = on;
    for (int i = 0; i < interposition->count; i++) {
        struct quiesce_call_slot *call = &interposition->slots[i];
        if (on) call->original = __atomic_load_n(call->slot, __ATOMIC_RELAXED);
        void *function = on ? call->function : call->original;
        // Its page is asked for once.
        if (call->is_writable) __atomic_store_n(call->slot, function, __ATOMIC_RELEASE);
        else call->is_writable = write_slot(call->slot, function);
    }
}
#endif
