// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// Read under the lock, used after it: Linux Bluetooth SCO, CVE-2026-31408.
@Suite struct UsedAfterLock {
    private struct Socket: ~Copyable, Sendable {
        let count = ReferenceCount()
        let data = Unsynchronized(7)
    }

    private final class Connection: Sendable {
        let socket = Mutex<Storage<Socket>?>(nil)
        init() { socket.label("lock") }
    }

    private func program(refers: Bool) -> (ExploredWorld) -> Void {
        { world in
            let connection = Connection()
            let made = Storage.allocate(Socket(), name: "socket")
            connection.socket.withLock { $0 = made }
            @Sendable func put(_ socket: Storage<Socket>) {
                if socket.pointee.count.decrementAndTest() { unsafe socket.free() }
            }
            world.thread("receiver") {
                let socket = connection.socket.withLock { socket in
                    if refers { socket?.pointee.count.increment() }
                    return socket
                }
                guard let socket else { return }
                _ = socket.pointee.data.load()
                if refers { put(socket) }
            }
            world.thread("closer") {
                let socket = connection.socket.withLock { socket in
                    defer { socket = nil }
                    return socket
                }
                if let socket { put(socket) }
            }
        }
    }

    @Test func `a close between the look and the use frees it`() throws {
        try expectFound(
            .useAfterFree, shows: ["closer freed socket", "receiver", "unlock lock"],
            columns: ["receiver", "closer"], program(refers: false))
    }

    @Test func `a reference taken under the lock keeps it`() throws {
        try expectVerified(program(refers: true))
    }
}
