// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// A 64-bit counter of the kernel's behind a descriptor, which is closed with this object at the
/// latest.
///
/// No operation waits. The descriptor is nonblocking and closed by exec. Made by an explored thread
/// it is *simulated*: it has no number, and its counter is Substrate's own, so that an exploration
/// sees what is done with it.
///
/// The caller that closes it makes sure that nobody uses its number at that time, as with any
/// descriptor.
///
/// Kernel counterpart: `eventfd(2)`.
public final class EventDescriptor: Sendable {
    /// -1 once it is closed.
    private let number: Atomic<Int32>
    private let source: Source

    enum Source: Sendable {
        case kernel
        case simulated(SimulatedEvent)
    }

    /// - Parameters:
    ///   - initialValue: the count to start with.
    ///   - isSemaphore: whether a read takes 1 at a time. Kernel: `EFD_SEMAPHORE`.
    /// - Throws: `.refused` when the system has no descriptor to give.
    public convenience init(initialValue: UInt32 = 0, isSemaphore: Bool = false)
        throws(DescriptorError)
    {
        guard Watch.observer == nil else {
            self.init(
                0, .simulated(SimulatedEvent(initialValue: initialValue, isSemaphore: isSemaphore)))
            return
        }
        let number = quiesce_eventfd(initialValue, isSemaphore)
        guard number >= 0 else { throw .refused(-number) }
        self.init(number, .kernel)
    }

    private init(_ number: Int32, _ source: Source) {
        self.number = Atomic(number)
        self.source = source
        self.number.label("descriptor")
    }

    deinit {
        if case .kernel = source { close() }
    }

    /// The descriptor's number, for system calls and for what is built on them; -1 once it is
    /// closed.
    ///
    /// It stays this object's. A simulated one has none, and asking for it traps.
    public var fileDescriptor: Int32 {
        guard case .kernel = source else {
            fatalError(
                "an event descriptor that was made in an exploration has no number; use its operations"
            )
        }
        return number.load(ordering: .acquiring)
    }

    // MARK: Reading and writing

    /// Adds `value`. Fails with `EINVAL` for the greatest one, and would block when there is no
    /// room for it.
    public func write(_ value: UInt64) -> IOResult { IOResult(write(bytes: 8, value: value)) }

    /// Takes the count, or 1 of a semaphore. Would block when it is 0.
    public func read() -> IOResult { IOResult(read(bytes: 8)) }

    /// Hands `bytes` bytes, at most 16, to `write(2)`, of which the first eight are `value`.
    public func write(bytes: Int, value: UInt64) -> IOTransfer {
        let number = number.load(ordering: .acquiring)
        guard number >= 0 else { return .failed(quiesce_error_bad_descriptor) }
        switch source {
        case .simulated(let event): return event.write(bytes: bytes, value: value)
        case .kernel:
            precondition(0...16 ~= bytes, "the buffer has 16 bytes")
            let buffer = (value, UInt64(0))
            let count = unsafe withUnsafePointer(to: buffer) {
                unsafe quiesce_descriptor_write(number, $0, bytes)
            }
            return count < 0 ? .failed(Int32(-count)) : .bytes(Int(count), value: value)
        }
    }

    /// Hands room for `bytes` bytes, at most 16, to `read(2)`.
    public func read(bytes: Int) -> IOTransfer {
        let number = number.load(ordering: .acquiring)
        guard number >= 0 else { return .failed(quiesce_error_bad_descriptor) }
        switch source {
        case .simulated(let event): return event.read(bytes: bytes)
        case .kernel:
            precondition(0...16 ~= bytes, "the buffer has 16 bytes")
            var buffer = (UInt64(0), UInt64(0))
            let count = unsafe withUnsafeMutablePointer(to: &buffer) {
                unsafe quiesce_descriptor_read(number, $0, bytes)
            }
            return count < 0 ? .failed(Int32(-count)) : .bytes(Int(count), value: buffer.0)
        }
    }

    // MARK: Readiness

    /// What can be done without waiting, at this moment; nothing once it is closed. Kernel:
    /// `poll(2)` with no time to wait.
    public var readiness: DescriptorReadiness {
        let number = number.load(ordering: .acquiring)
        guard number >= 0 else { return [] }
        switch source {
        case .simulated(let event): return event.readiness
        case .kernel:
            return DescriptorReadiness(rawValue: UInt32(max(0, quiesce_descriptor_poll(number))))
        }
    }

    /// Calls `onReady` when one of `wants` can be done; at once when it can be done now.
    ///
    /// It is called by another thread, or, when this is simulated, by the one that made it ready,
    /// which may be the caller of this: hold no lock that it takes. It may be called when the
    /// readiness is over again.
    ///
    /// - Parameter repeats: whether it is called at every change that makes one of them possible,
    ///   or possible for more. Else it is called once.
    /// - Throws: `.refused`, when the system does.
    /// - Important: the interest is cancelled or over before the descriptor is closed.
    public func whenReady(
        for wants: DescriptorReadiness, repeats: Bool = false,
        _ onReady: @escaping @Sendable () -> Void
    ) throws(DescriptorError) -> Interest {
        let number = number.load(ordering: .acquiring)
        guard number >= 0 else { throw .refused(quiesce_error_bad_descriptor) }
        switch source {
        case .simulated(let event):
            return event.wait(for: wants, repeats: repeats, onReady: onReady)
        case .kernel:
            return try Poller.current.wait(for: number, wants, repeats: repeats, onReady: onReady)
        }
    }

    // MARK: Ending

    /// Another descriptor of the same counter.
    ///
    /// - Throws: `.refused` when the system has none to give, or this one is closed. Kernel:
    ///   `dup(2)`.
    public func duplicate() throws(DescriptorError) -> EventDescriptor {
        let number = number.load(ordering: .acquiring)
        guard number >= 0 else { throw .refused(quiesce_error_bad_descriptor) }
        if case .simulated = source { return EventDescriptor(0, source) }
        let other = quiesce_descriptor_duplicate(number)
        guard other >= 0 else { throw .refused(-other) }
        return EventDescriptor(other, source)
    }

    /// Gives the descriptor back. What is done with it later fails with `EBADF`. Closing again does
    /// nothing.
    public func close() {
        let old = number.exchange(-1, ordering: .acquiringAndReleasing)
        if old >= 0, case .kernel = source { quiesce_descriptor_close(old) }
    }
}
