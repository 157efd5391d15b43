// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// The last to leave: rust-lang/rust #98498, #98503.
@Suite struct LastToLeave {
    private struct Scope: ~Copyable, Sendable {
        let running = Atomic(1)
        let main = Unsynchronized(1)
    }

    private func program(takesFirst: Bool) -> (ExploredWorld) -> Void {
        { world in
            let scope = Storage.allocate(Scope(), name: "scope")
            scope.pointee.running.label("running")
            scope.pointee.main.label("main")
            world.thread("worker") {
                let early = takesFirst ? scope.pointee.main.load() : 0
                scope.pointee.running.wrappingSubtract(1, ordering: .acquiringAndReleasing)
                _ = takesFirst ? early : scope.pointee.main.load()
            }
            spin { scope.pointee.running.load(ordering: .acquiring) != 0 }
            unsafe scope.free()
        }
    }

    @Test func `the scope is gone when the last worker looks for main`() throws {
        try expectFound(
            .useAfterFree, shows: ["scope.running 1→0", "free scope"], columns: ["main", "worker"],
            program(takesFirst: false))
    }

    @Test func `a worker takes the handle before it leaves`() throws {
        try expectVerified(program(takesFirst: true))
    }
}
