// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// The sender who is still inside: libuv/libuv #2226, #2240, #3626, #5058.
@Suite struct SenderInside {
    private struct Handle: ~Copyable, Sendable {
        let pending = Atomic(0)
        let busy = Atomic(0)
        /// The loop to wake.
        let loop = Unsynchronized(1)

        func send() {
            if pending.exchange(1, ordering: .sequentiallyConsistent) == 0 { _ = loop.load() }
        }
    }

    private enum Protection {
        case none, busy, gate
    }

    private func program(_ protection: Protection, senders: Int) -> (ExploredWorld) -> Void {
        { world in
            let gate = Gate(name: "gate")
            let handle = Storage.allocate(Handle(), name: "handle")
            handle.pointee.pending.label("pending")
            handle.pointee.busy.label("busy")
            handle.pointee.loop.label("loop")
            for number in 1...senders {
                world.thread("sender \(number)") {
                    switch protection {
                    case .none: handle.pointee.send()
                    case .busy:
                        handle.pointee.busy.wrappingAdd(1, ordering: .sequentiallyConsistent)
                        handle.pointee.send()
                        handle.pointee.busy.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                    case .gate: gate.withEntry { _ in handle.pointee.send() }
                    }
                }
            }
            world.thread("loop") {
                spin { handle.pointee.pending.load(ordering: .sequentiallyConsistent) == 0 }
                switch protection {
                case .none: break
                case .busy:
                    spin { handle.pointee.busy.load(ordering: .sequentiallyConsistent) != 0 }
                case .gate: try? gate.close()
                }
                unsafe handle.free()
            }
        }
    }

    @Test func `the loop serves the mark and frees what the sender reads`() throws {
        try expectFound(
            .useAfterFree,
            shows: ["loop freed handle", "handle.pending 0→1", "handle.loop", "free handle"],
            columns: ["sender 1", "loop"], program(.none, senders: 1))
    }

    @Test func `a busy mark is enough for one sender`() throws {
        try expectVerified(program(.busy, senders: 1))
    }

    @Test func `a second sender begins when the loop has seen nobody busy`() throws {
        try expectFound(
            .useAfterFree,
            shows: ["loop freed handle", "handle.busy → 0", "handle.busy", "free handle"],
            columns: ["sender 1", "sender 2", "loop"], program(.busy, senders: 2))
    }

    @Test func `a gate refuses the sender that comes late`() throws {
        try expectVerified(program(.gate, senders: 2))
    }
}
