// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// Makes a constant, which Swift otherwise makes when it is first used.
///
/// A thread that uses a constant waits until it is made. In a forked child that would be for ever if
/// another thread was making it when the process was forked. So the thread that forks makes those
/// that a child may use: those of this module, and those of the module above in
/// `quiesce_make_constants`.
package func make<Value>(_ constant: Value) {
    unsafe withUnsafePointer(to: constant) { unsafe quiesce_keep($0) }
}

enum Constants {
    static func makeAll() {
        make(Membarrier.support)
        make(Membarrier.Decision.needsFence)
        make(World.generation)
        make(World.survivor.thread)
        make(unsafe PassiveListener.defaultPointer == nil)
        make(ThreadLocalLife.endedCount)
        make(ThreadLocalLife.takeKey())
        make(Poller.key)
        make(DescriptorReadiness.error)
        ForkSection.prepare()
        ForkWitness.prepare()
    }
}
