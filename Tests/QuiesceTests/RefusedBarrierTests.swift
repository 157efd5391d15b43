// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// A system that refuses `membarrier(2)`: asymmetric stores then issue fences of their own.
@Suite struct RefusedBarrierTests {
    @Test func `a gate keeps its promise where the barrier is refused`() async {
        await #expect(processExitsWith: .success) {
            refuseMembarrier()
            precondition(Membarrier.support == .fencedStores)
            try useGates()
        }
    }

    @Test(.enabled(if: Membarrier.support == .expedited))
    func `a barrier that is refused after it was granted ends the process with a sentence`()
        async throws
    {
        let result = try await #require(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            try closeGateAsTheBarrierIsRefused()
        }
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("was granted and is now refused"))
    }
}

private func closeGateAsTheBarrierIsRefused() throws {
    try Gate().close()
    refuseMembarrier()
    try Gate().close()
}

private final class Resource: Sendable {
    let gate = Gate()
    let isOpen = Atomic(true)
}

private func useGates() throws {
    let current = Mutex(Resource())
    let (isOver, wrong) = (Flag(), Flag())
    try withThread {
        while !isOver.isRaised {
            let resource = current.withLock { $0 }
            _ = resource.gate.withEntry { _ in
                _ = resource.gate.withEntry { _ in
                    if !resource.isOpen.load(ordering: .relaxed) { wrong.raise() }
                }
                if !resource.isOpen.load(ordering: .relaxed) { wrong.raise() }
            }
        }
    } while: {
        for _ in 0..<20_000 {
            let resource = current.withLock { $0 }
            try resource.gate.close()
            resource.isOpen.store(false, ordering: .relaxed)
            current.withLock { $0 = Resource() }
        }
        // Closing from inside is found out by what the thread itself remembers.
        let gate = Gate()
        _ = gate.withEntry { _ in precondition((try? gate.close()) == nil && !gate.isClosing) }
        try gate.close()
        isOver.raise()
    }
    precondition(!wrong.isRaised)
    // A child forked from inside has entries of its own alone.
    let gate = Gate()
    let status = gate.withEntry { _ in
        forkedChild { precondition((try? gate.close()) == nil && (try? Gate().close()) != nil) }
    }
    precondition(status == .some(.some(0)))
    try gate.close()
}

private final class Flag: Sendable {
    private let state = Atomic(false)

    var isRaised: Bool { state.load(ordering: .acquiring) }
    func raise() { state.store(true, ordering: .releasing) }
}

private func withThread(_ body: @escaping @Sendable () -> Void, while other: () throws -> Void)
    throws
{
    let thread = try WorldThread.spawn(body)
    try other()
    thread.join()
}

/// Has the kernel answer `membarrier` with EPERM to this thread and those that it starts.
private func refuseMembarrier() {
    // Load the call's number; is it membarrier; if so EPERM, else allow. (x86-64: 324)
    let filter: [UInt64] = [
        0x0000_0000_0000_0020, 0x0000_0144_0100_0015, 0x0005_0001_0000_0006, 0x7fff_0000_0000_0006,
    ]
    typealias Control = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
    let control = unsafe unsafeBitCast(dlsym(nil, "prctl"), to: Control.self)
    unsafe filter.withUnsafeBytes { instructions in
        let program = [UInt(filter.count), UInt(bitPattern: instructions.baseAddress)]
        unsafe program.withUnsafeBytes { program in
            // No new privileges; then the filter.
            precondition(control(38, 1, 0, 0, 0) == 0)
            precondition(control(22, 2, UInt(bitPattern: program.baseAddress), 0, 0) == 0)
        }
    }
}
