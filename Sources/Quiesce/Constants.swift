// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Makes the constants of this module that a forked child may use.
@_cdecl("quiesce_make_constants")
func makeConstants() {
    make(EventCounter.taking)
    make(EventCounter.adding)
    make(EventFD.taking)
    make(EventFD.adding)
    make(Subscription.detaching)
    make(EntryTicket.$current)
    make(Misuse.collected)
    make(MisuseLog.key)
    make(ManagedGraph.key)
    make(WorkerPool.key)
    make(WorkTimers.key)
    make(Numbers.Source.key)
}
