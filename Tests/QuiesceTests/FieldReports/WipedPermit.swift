// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A store wipes out a permit: tokio-rs/tokio #3660.
@Suite struct WipedPermit {
    /// Bit 0 is a permit; the rest counts generations.
    private final class Notify: Sendable {
        let word = WaitPoint()

        init() { word.label("word") }

        func notifyAll(atOnce: Bool) {
            if atOnce {
                word.word.wrappingAdd(2, ordering: .sequentiallyConsistent)
            } else {
                let found = word.word.load(ordering: .sequentiallyConsistent)
                word.word.store(found + 2, ordering: .sequentiallyConsistent)
            }
        }

        func notifyOne() {
            word.word.bitwiseOr(1, ordering: .sequentiallyConsistent)
            word.wake(1)
        }

        func takePermit() {
            while true {
                let found = word.word.load(ordering: .sequentiallyConsistent)
                if found & 1 == 0 {
                    word.wait(while: found)
                } else if word.word.compareExchange(
                    expected: found, desired: found - 1, ordering: .sequentiallyConsistent
                ).exchanged {
                    return
                }
            }
        }
    }

    private func program(atOnce: Bool) -> (ExploredWorld) -> Void {
        { world in
            let notify = Notify()
            world.thread("all") { notify.notifyAll(atOnce: atOnce) }
            world.thread("giver") {
                notify.notifyOne()
                notify.takePermit()
            }
        }
    }

    @Test func `a load and a store lose the permit in between`() throws {
        try expectFound(
            .lostWakeUp, shows: ["word → 0", "word 0→1", "word = 2", "giver waits on word"],
            columns: ["all", "giver"], program(atOnce: false))
    }

    @Test func `an addition keeps the permit`() throws {
        try expectVerified(program(atOnce: true))
    }
}
