// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Glibc
import Substrate

/// Runs `body` on `count` threads of its own, each with its index, and waits for all of them.
func inParallel(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    guard count > 0 else { return }
    let thread = try Thread.spawn { body(count - 1) }
    try inParallel(count - 1, body)
    thread.join()
}

/// Where a thread stands, for those who must know that it has fallen asleep.
final class ThreadSleeper: Sendable {
    private let id = Atomic<Int32>(0)

    /// Called by the thread itself, before what makes it sleep.
    func announce() { id.store(quiesce_thread_id(), ordering: .sequentiallyConsistent) }

    /// Waits until the kernel says that the thread, after it announced itself, sleeps.
    func waitUntilAsleep() {
        spin { id.load(ordering: .sequentiallyConsistent) == 0 }
        spin { Self.state(of: id.load(ordering: .sequentiallyConsistent)) != UInt8(ascii: "S") }
    }

    private static func state(of id: Int32) -> UInt8? {
        let file = unsafe open("/proc/self/task/\(id)/stat", O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
        guard count > 0, let name = bytes.lastIndex(of: UInt8(ascii: ")")), name + 2 < count else { return nil }
        return bytes[name + 2]
    }
}

/// Runs `body` in a forked child, which has this thread alone, and returns the child's exit status; nil when it was killed.
func inForkedChild(_ body: () -> Void) -> Int32? {
    typealias Fork = @convention(c) () -> pid_t
    let fork = unsafe unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
    let child = fork()
    if child == 0 {
        // A child that hangs is killed by its alarm rather than waited for.
        alarm(20)
        body()
        _exit(0)
    }
    var status: Int32 = 0
    guard unsafe waitpid(child, &status, 0) == child, status & 0x7f == 0 else { return nil }
    return (status >> 8) & 0xff
}
