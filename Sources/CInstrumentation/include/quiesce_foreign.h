// SPDX-License-Identifier: Apache-2.0

#ifndef QUIESCE_FOREIGN_H
#define QUIESCE_FOREIGN_H

// Calls by which the program and its dependencies synchronize without Substrate: of pthread, of
// semaphores, of Dispatch, of Foundation's locks. What the toolchain's own libraries do among
// themselves is not told.

/// Tells `listener` of such calls of observed threads, before they happen: the observer and the
/// function. Between `begin` and `end`, which are counted.
void quiesce_foreign_begin(void (*_Nonnull listener)(void *_Nonnull observer, const char *_Nonnull function));
void quiesce_foreign_end(void);

#endif
