// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// Polled with a count of zero: Linux 4efaa5acf0a1 (epoll).
@Suite struct PolledAtZero {
    private struct File: ~Copyable, Sendable {
        let count = ReferenceCount()
        let data = Unsynchronized(7)
    }

    private final class Poll: Sendable {
        let file = Mutex<Storage<File>?>(nil)
        init() { file.label("epoll") }
    }

    private func program(_ raise: @escaping @Sendable (Storage<File>) -> Bool) -> (ExploredWorld) ->
        Void
    {
        { world in
            let poll = Poll()
            let file = Storage.allocate(File(), name: "file")
            poll.file.withLock { $0 = file }
            @Sendable func close(_ file: Storage<File>) {
                guard file.pointee.count.decrementAndTest() else { return }
                poll.file.withLock { $0 = nil }
                unsafe file.free()
            }
            world.thread("closer") { close(file) }
            world.thread("poller") {
                let found = poll.file.withLock { file in
                    file.flatMap { raise($0) ? $0 : nil }
                }
                guard let found else { return }
                _ = found.pointee.data.load()
                close(found)
            }
        }
    }

    @Test func `a file is polled while its last close waits`() throws {
        let report = try Exploration(
            "broken",
            program {
                $0.pointee.count.set($0.pointee.count.value + 1)
                return true
            }
        ).run()
        #expect([.useAfterFree, .doubleFree].contains(report.counterexample?.verdict.kind))
    }

    @Test func `the poller raises the count unless it is zero`() throws {
        try expectVerified(program { $0.pointee.count.incrementUnlessZero() })
    }
}
