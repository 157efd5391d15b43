// SPDX-License-Identifier: Apache-2.0

package import Substrate

/// A counter of the kernel's behind a descriptor, which threads, tasks, other processes and event
/// loops add to and wait for.
///
/// It does what `EventCounter` does, by system calls: 64 bits; a take returns all of it, or 1 at a
/// time as a semaphore. Other uses of the descriptor count as well: any `write(2)` wakes the
/// threads and tasks that take here, and `fileDescriptor` can be given to epoll, io_uring or
/// SwiftNIO.
///
/// A wait tries first. Only when it finds nothing does it use the poller, one thread for the whole
/// process.
///
/// It ends by `close()`: waits end with `.closed`, and so does whatever is tried later. A duplicate
/// goes on. A forked child shares the counter, and has a descriptor of its own: it can use this
/// object, and close it, as the parent does.
///
/// Made in an exploration it has no descriptor, and every step of it is seen. Kernel counterpart:
/// `eventfd(2)`.
public final class EventFD: Sendable {
    private let descriptor: EventDescriptor
    /// Around each use of the descriptor's number, so that it is not closed under a system call.
    private let gate: Gate
    let takers: DescriptorWaiters
    let adders: DescriptorWaiters
    private let closing = Mutex(())

    /// - Parameters:
    ///   - initialValue: the count to start with.
    ///   - isSemaphore: whether a take returns 1 at a time. Kernel: `EFD_SEMAPHORE`.
    /// - Throws: `.refused` when the system has no descriptor to give.
    public convenience init(_ initialValue: UInt32 = 0, isSemaphore: Bool = false)
        throws(QuiesceError)
    {
        do throws(DescriptorError) {
            self.init(try EventDescriptor(initialValue: initialValue, isSemaphore: isSemaphore))
        } catch {
            throw QuiesceError(error)
        }
    }

    static let taking = WaitClass(.event)
    static let adding = WaitClass(.room)

    private init(_ descriptor: EventDescriptor) {
        self.descriptor = descriptor
        gate = Gate(name: "event descriptor")
        takers = DescriptorWaiters(
            descriptor, behind: gate, for: .readable, Self.taking, name: "takers")
        adders = DescriptorWaiters(
            descriptor, behind: gate, for: .writable, Self.adding, name: "adders")
        closing.label("closing")
    }

    /// The descriptor's number, to be waited for and written to by others; -1 once it is closed.
    ///
    /// Nonblocking, and closed by exec. It stays this object's: do not close it, and let nobody use
    /// it after `close()`. In an exploration there is none, and asking for it traps.
    public var fileDescriptor: Int32 { descriptor.fileDescriptor }

    /// What can be done without waiting, at this moment. Kernel: `poll(2)` with no time to wait.
    public var readiness: EventCounter.Readiness {
        guard let found = gate.withEntry({ _ in descriptor.readiness }) else { return .closed }
        var result: EventCounter.Readiness = []
        if found.contains(.readable) { result.insert(.readable) }
        if found.contains(.writable) { result.insert(.writable) }
        // Only the kernel itself adds more than there is room for.
        if found.contains(.error) { result.insert(.overflown) }
        return result
    }

    // MARK: Adding

    /// Adds 1 if there is room for it, and says whether there was. Never waits.
    ///
    /// A full counter stays as it is, which wakes the waiters all the same: user space cannot
    /// make it overflow.
    ///
    /// - Throws: as `tryAdd`.
    @discardableResult
    public func signal() throws(QuiesceError) -> Bool { try tryAdd(1) }

    /// Adds `amount` if there is room for it, and says whether there was. Kernel: a nonblocking
    /// `write(2)`.
    ///
    /// - Throws: `.invalidValue` for the greatest value; `.insideCallback` from inside a callback
    ///   of any event; `.closed` once it is closed; `.refused`.
    public func tryAdd(_ amount: UInt64) throws(QuiesceError) -> Bool {
        if CallbackScope.isActive { throw .insideCallback }
        guard amount <= EventCounter.maximum else { throw .invalidValue }
        return try write(amount) != nil
    }

    /// Adds `amount`, waiting for room. Kernel: `write(2)`.
    ///
    /// - Throws: `.timedOut`, and what `tryAdd` throws.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func add(_ amount: UInt64, within timeout: Duration? = nil) throws(QuiesceError) {
        try add(amount, until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func add(_ amount: UInt64, until deadline: WorldClock.Instant?) throws(QuiesceError) {
        if try tryAdd(amount) { return }
        _ = try adders.wait(until: deadline) { () throws(QuiesceError) in try write(amount) }
    }

    /// Adds `amount`, waiting for room, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; a cancelled wait has added
    ///   nothing.
    public func add(_ amount: UInt64, within timeout: Duration? = nil)
        async throws
    {
        try await add(amount, until: WorldClock.deadline(within: timeout))
    }

    package func add(_ amount: UInt64, until deadline: WorldClock.Instant?)
        async throws
    {
        if try tryAdd(amount) { return }
        _ = try await adders.wait(until: deadline) { () throws(QuiesceError) in try write(amount) }
    }

    private func write(_ amount: UInt64) throws(QuiesceError) -> UInt64? {
        try value(of: gate.withEntry { _ in descriptor.write(amount) })
    }

    // MARK: Taking

    /// Takes the count, or 1 of a semaphore. Returns nil when it is 0. Kernel: a nonblocking
    /// `read(2)`.
    ///
    /// - Throws: `.closed` once it is closed; `.refused`.
    public func tryTake() throws(QuiesceError) -> UInt64? {
        try value(of: gate.withEntry { _ in descriptor.read() })
    }

    /// Takes the count, or 1 of a semaphore, waiting until it is not 0. Kernel: `read(2)`.
    ///
    /// - Throws: `.timedOut`, and what `tryTake` throws.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func take(within timeout: Duration? = nil) throws(QuiesceError) -> UInt64 {
        try take(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func take(until deadline: WorldClock.Instant?) throws(QuiesceError) -> UInt64 {
        if let taken = try tryTake() { return taken }
        return try takers.wait(until: deadline) { () throws(QuiesceError) in try tryTake() }
    }

    /// Takes the count, or 1 of a semaphore, waiting until it is not 0, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; a cancelled wait has taken
    ///   nothing.
    public func take(within timeout: Duration? = nil) async throws -> UInt64 {
        try await take(until: WorldClock.deadline(within: timeout))
    }

    package func take(until deadline: WorldClock.Instant?) async throws -> UInt64 {
        if let taken = try tryTake() { return taken }
        return try await takers.wait(until: deadline) { () throws(QuiesceError) in try tryTake() }
    }

    /// What an operation came to; nil when it cannot be done now.
    private func value(of result: IOResult?) throws(QuiesceError) -> UInt64? {
        switch result {
        case nil: throw .closed(EventCounter.what)
        case .value(let value): return value
        case .wouldBlock: return nil
        case .failed(let number): throw .refused(errorNumber: number)
        }
    }

    // MARK: Buffers of any size

    /// Writes a buffer of `bytes` bytes that begins with `value`. Returns how many were written, or
    /// the negated error number.
    package func write(bytes: Int, value: UInt64) -> Int {
        switch gate.withEntry({ _ in descriptor.write(bytes: bytes, value: value) }) {
        case .bytes(let count, _): count
        case .failed(let number): -Int(number)
        case nil: 0
        }
    }

    /// Reads into a buffer of `bytes` bytes. Returns how many were read, or the negated error
    /// number, and the value.
    package func read(bytes: Int) -> (count: Int, value: UInt64) {
        switch gate.withEntry({ _ in descriptor.read(bytes: bytes) }) {
        case .bytes(let count, let value): (count, value)
        case .failed(let number): (-Int(number), 0)
        case nil: (0, 0)
        }
    }

    // MARK: Ending

    /// Another descriptor of the same counter, which is closed by itself. Kernel: `dup(2)`.
    ///
    /// - Throws: `.closed` once it is closed; `.refused` when the system has no descriptor to give.
    public func duplicate() throws(QuiesceError) -> EventFD {
        let result: Result<EventDescriptor, QuiesceError>? = gate.withEntry { _ in
            do throws(DescriptorError) {
                return .success(try descriptor.duplicate())
            } catch {
                return .failure(QuiesceError(error))
            }
        }
        guard let result else { throw .closed(EventCounter.what) }
        return EventFD(try result.get())
    }

    /// Ends every wait with `.closed` and closes the descriptor. Closing again does nothing.
    ///
    /// It waits only for system calls that are under way, none of which blocks, as for a lock. When
    /// it returns, the descriptor is closed and no operation of this object uses its number,
    /// also where another caller closed it. It is closed with this object at the latest.
    public func close() {
        do {
            try gate.close()
        } catch {
            // Nothing that others wrote runs inside the gate.
            fatalError("an event descriptor was closed from inside one of its own operations")
        }
        takers.close()
        adders.close()
        // Another thread that closes at the same time returns after this as well.
        ForkSection.run { closing.withLock { _ in descriptor.close() } }
    }
}
