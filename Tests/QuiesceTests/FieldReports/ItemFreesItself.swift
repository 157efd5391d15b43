// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// An item that may not free itself: Linux 2cf654db8d7e (irq_work in bpf).
@Suite struct ItemFreesItself {
    private struct Item: ~Copyable, Sendable {
        let flags = Atomic(1)
    }

    private func run(_ item: Storage<Item>, clearsFirst: Bool) {
        if clearsFirst { item.pointee.flags.store(0, ordering: .releasing) }
        unsafe item.free()
        if !clearsFirst { item.pointee.flags.store(0, ordering: .releasing) }
    }

    private func program(clearsFirst: Bool) -> (ExploredWorld) -> Void {
        { world in
            let item = Storage.allocate(Item(), name: "item")
            item.pointee.flags.label("flags")
            world.thread("runner") { run(item, clearsFirst: clearsFirst) }
        }
    }

    @Test func `the runner clears a flag of what the callback has freed`() throws {
        try expectFound(
            .useAfterFree, shows: ["runner freed item", "runner changed item.flags"],
            columns: ["runner"], program(clearsFirst: false))
    }

    @Test func `nothing of the item is touched after its callback`() throws {
        try expectVerified(program(clearsFirst: true))
    }
}
