// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Substrate

@Suite struct EventDescriptorTests {
    /// The same calls on the kernel's and on a simulated one must have the same answers.
    enum Kind: CaseIterable {
        case kernel, simulated

        func make(_ initialValue: UInt32 = 0, isSemaphore: Bool = false) throws -> EventDescriptor {
            switch self {
            case .kernel: try EventDescriptor(initialValue: initialValue, isSemaphore: isSemaphore)
            case .simulated:
                try RecordingObserver().watch {
                    try EventDescriptor(initialValue: initialValue, isSemaphore: isSemaphore)
                }
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `a read takes everything that was written`(_ kind: Kind) throws {
        let event = try kind.make(5)
        #expect(event.write(3) == .value(3))
        #expect(event.write(0) == .value(0))
        #expect(event.read() == .value(8))
        #expect(event.read() == .wouldBlock)
    }

    @Test(arguments: Kind.allCases)
    func `a semaphore is read one at a time`(_ kind: Kind) throws {
        let event = try kind.make(1, isSemaphore: true)
        #expect(event.write(2) == .value(2))
        for _ in 0..<3 { #expect(event.read() == .value(1)) }
        #expect(event.read() == .wouldBlock)
    }

    @Test(arguments: Kind.allCases)
    func `what there is no room for would block`(_ kind: Kind) throws {
        let event = try kind.make()
        #expect(event.write(.max - 1) == .value(.max - 1))
        #expect(event.write(1) == .wouldBlock)
        #expect(event.write(bytes: 8, value: 1) == .failed(EAGAIN))
        #expect(event.write(0) == .value(0))
        #expect(event.read() == .value(.max - 1))
        #expect(event.write(1) == .value(1))
    }

    @Test(arguments: Kind.allCases)
    func `the greatest value is refused`(_ kind: Kind) throws {
        let event = try kind.make()
        #expect(event.write(.max) == .failed(EINVAL))
        #expect(event.read() == .wouldBlock)
    }

    @Test(arguments: Kind.allCases)
    func `sizes are those of the system call`(_ kind: Kind) throws {
        let event = try kind.make(3)
        #expect(event.write(bytes: 4, value: 1) == .failed(EINVAL))
        #expect(event.read(bytes: 4) == .failed(EINVAL))
        #expect(event.read(bytes: 16) == .bytes(8, value: 3))
        #expect(event.read(bytes: 8) == .failed(EAGAIN))
        #expect(event.write(bytes: 8, value: 7) == .bytes(8, value: 7))
        // Refused since Linux 6.9; before, the kernel looked at the first eight.
        let long = event.write(bytes: 16, value: 8)
        #expect(long == .failed(EINVAL) || kind == .kernel && long == .bytes(8, value: 8))
    }

    @Test(arguments: Kind.allCases)
    func `readiness is what poll says`(_ kind: Kind) throws {
        let event = try kind.make(isSemaphore: true)
        #expect(event.readiness == .writable)
        _ = event.write(10)
        #expect(event.readiness == [.readable, .writable])
        _ = event.write(.max - 11)
        #expect(event.readiness == .readable)
        #expect(event.read() == .value(1))
        #expect(event.readiness == [.readable, .writable])
    }

    @Test(arguments: Kind.allCases)
    func `a duplicate shares the counter and is closed by itself`(_ kind: Kind) throws {
        let event = try kind.make()
        let other = try event.duplicate()
        #expect(other.write(3_735_928_559) == .value(3_735_928_559))
        other.close()
        #expect(event.read() == .value(3_735_928_559))
        #expect(other.read() == .failed(EBADF))
        #expect(event.write(1) == .value(1))
    }

    @Test(arguments: Kind.allCases)
    func `a closed one refuses everything`(_ kind: Kind) throws {
        let event = try kind.make(1)
        event.close()
        event.close()
        #expect(event.read() == .failed(EBADF))
        #expect(event.write(1) == .failed(EBADF))
        #expect(event.readiness == [])
        #expect(throws: DescriptorError.refused(EBADF)) { try event.duplicate() }
        #expect(throws: DescriptorError.refused(EBADF)) { try event.whenReady(for: .readable) {} }
        if kind == .kernel { #expect(event.fileDescriptor == -1) }
    }

    @Test func `a descriptor is nonblocking and closed by exec`() throws {
        let event = try EventDescriptor()
        #expect(fcntl(event.fileDescriptor, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(event.fileDescriptor, F_GETFD) & FD_CLOEXEC != 0)
        #expect(fcntl(try event.duplicate().fileDescriptor, F_GETFD) & FD_CLOEXEC != 0)
    }

    // The number belongs to the process.
    @Test func `a descriptor is closed with its object`() async {
        await #expect(processExitsWith: .success) {
            func number() throws -> Int32 { try EventDescriptor().fileDescriptor }
            let first = try number()
            precondition(fcntl(first, F_GETFD) == -1)
            let second = try number()
            precondition(second == first)
        }
    }

    @Test func `the system's refusal is told`() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 0, rlim_max: 0)
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let refusal = #expect(throws: DescriptorError.self) { try EventDescriptor() }
            precondition(refusal == .refused(EMFILE))
        }
    }

    @Test func `a simulated one has no number`() async {
        await #expect(processExitsWith: .failure) {
            _ = try Kind.simulated.make().fileDescriptor
        }
    }

    // MARK: Waiting

    @Test func `a simulated one calls at once when it is ready, and once`() throws {
        let event = try Kind.simulated.make(1)
        let calls = Counter()
        let interest = try event.whenReady(for: .readable) {
            calls.count.add(1, ordering: .relaxed)
        }
        #expect(calls.count.load(ordering: .relaxed) == 1)
        _ = event.write(1)
        #expect(calls.count.load(ordering: .relaxed) == 1)
        interest.cancel()
    }

    @Test func `a simulated one calls at each change until the interest is cancelled`() throws {
        let event = try Kind.simulated.make(0, isSemaphore: true)
        let (readable, writable) = (Counter(), Counter())
        let reading = try event.whenReady(for: .readable, repeats: true) {
            readable.count.add(1, ordering: .relaxed)
        }
        let writing = try event.whenReady(for: .writable, repeats: true) {
            writable.count.add(1, ordering: .relaxed)
        }
        _ = event.write(2)
        _ = event.write(1)
        #expect(readable.count.load(ordering: .relaxed) == 2)
        #expect(writable.count.load(ordering: .relaxed) == 1)
        _ = event.read()
        #expect(writable.count.load(ordering: .relaxed) == 2)
        reading.cancel()
        writing.withdraw()
        _ = event.write(1)
        _ = event.read()
        #expect(readable.count.load(ordering: .relaxed) == 2)
        #expect(writable.count.load(ordering: .relaxed) == 2)
    }
}
