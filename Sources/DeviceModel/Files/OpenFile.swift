// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// An open file of a character device.
///
/// Any number of threads and tasks may use it. When the device is gone it answers `.noDevice`, and
/// those that wait in it wake up and get that answer. When it has been closed it answers `.closed`,
/// in the same way. A file that nobody closed is closed when the last reference to it is dropped.
///
/// An operation costs two entries of gates beside what the driver does.
public final class OpenFile<Operations: FileOperations>: Sendable {
    /// The name of the node.
    public let name: String
    @usableFromInline let opened: Revocable<Opened>
    private let wakeUps: CharacterDevice<Operations>.WakeUps

    /// What the file has of the node, which it keeps until it is closed. Each part is here by
    /// itself, so that an operation counts no references.
    @usableFromInline
    struct Opened: ~Copyable, Sendable {
        let node: CharacterDevice<Operations>
        @usableFromInline let operations: Operations
        @usableFromInline let gate: Gate
        @usableFromInline let binding: Gate
        @usableFromInline let state: Operations.File

        init(_ node: CharacterDevice<Operations>, _ state: Operations.File) {
            self.node = node
            operations = node.operations
            gate = node.gate
            binding = node.binding
            self.state = state
        }
    }

    init(_ node: CharacterDevice<Operations>, _ state: Operations.File) {
        name = node.name
        wakeUps = node.wakeUps
        opened = Revocable(
            Opened(node, state),
            gate: Gate(name: node.name),
            release: { opened in
                let node = opened.node
                opened.operations.close(opened.state)
                // The node ends last, so that its device ends after what the driver gave.
                _ = consume opened
                // Wakes those that wait in the file, too.
                node.dismiss()
            })
    }

    // MARK: Reading

    /// Reads at most `count` bytes. Blocks until there are some, or the end. Nothing stands for the
    /// end.
    ///
    /// - Throws: what the driver throws; `.noDevice` when the device is gone, `.closed` when the
    ///   file is, either of them while it waits too; `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func read(_ count: Int, within timeout: Duration? = nil) throws -> [UInt8] {
        try wakeUps.wait(timeout) { try readNow(count) }
    }

    /// Reads at most `count` bytes, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func read(_ count: Int, within timeout: Duration? = nil) async throws -> [UInt8] {
        try await wakeUps.wait(timeout) { try readNow(count) }
    }

    /// Reads at most `count` bytes; nil when there are none yet.
    ///
    /// - Throws: as `read`, but for `.timedOut`.
    @inlinable
    public func readNow(_ count: Int) throws -> [UInt8]? {
        try attempt("read") { opened, entry in
            try opened.operations.read(count, opened.state, in: entry)
        }
    }

    // MARK: Writing

    /// Writes bytes. Blocks until there is room for some, and returns how many were written.
    ///
    /// - Throws: as `read`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func write(_ bytes: [UInt8], within timeout: Duration? = nil) throws -> Int {
        try wakeUps.wait(timeout) { try writeNow(bytes) }
    }

    /// Writes bytes, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    @discardableResult
    public func write(_ bytes: [UInt8], within timeout: Duration? = nil) async throws -> Int {
        try await wakeUps.wait(timeout) { try writeNow(bytes) }
    }

    /// Writes bytes, and returns how many were written; nil when there is no room yet.
    ///
    /// - Throws: as `read`, but for `.timedOut`.
    @inlinable
    public func writeNow(_ bytes: [UInt8]) throws -> Int? {
        try attempt("write") { opened, entry in
            try opened.operations.write(bytes, opened.state, in: entry)
        }
    }

    // MARK: Controlling

    /// Asks the driver for something. Blocks until it can answer. Kernel: `ioctl`.
    ///
    /// - Throws: as `read`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func control(_ request: Operations.Request, within timeout: Duration? = nil) throws
        -> Operations.Reply
    {
        try wakeUps.wait(timeout) { try controlNow(request) }
    }

    /// Asks the driver for something, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    @discardableResult
    public func control(_ request: Operations.Request, within timeout: Duration? = nil) async throws
        -> Operations.Reply
    {
        try await wakeUps.wait(timeout) { try controlNow(request) }
    }

    /// Asks the driver for something; nil when it cannot answer yet.
    ///
    /// - Throws: as `read`, but for `.timedOut`.
    @inlinable
    public func controlNow(_ request: Operations.Request) throws -> Operations.Reply? {
        try attempt("control") { opened, entry in
            try opened.operations.control(request, opened.state, in: entry)
        }
    }

    // MARK: Polling

    /// Blocks until the file is ready for something of `interest`, and says for what.
    ///
    /// - Returns: also `.error` and `.hangUp`, whatever the interest was: the device is gone.
    /// - Throws: `.closed` when the file is closed, `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func poll(_ interest: Readiness, within timeout: Duration? = nil) throws -> Readiness {
        try wakeUps.wait(timeout) { try pollNow(interest) }
    }

    /// Suspends until the file is ready, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func poll(_ interest: Readiness, within timeout: Duration? = nil) async throws
        -> Readiness
    {
        try await wakeUps.wait(timeout) { try pollNow(interest) }
    }

    /// What the file is ready for, of `interest`; nil when it is nothing.
    ///
    /// - Throws: `.closed` when the file is closed.
    @inlinable
    public func pollNow(_ interest: Readiness) throws -> Readiness? {
        do {
            let found = try attempt("poll") { opened, entry in
                opened.operations.poll(opened.state, in: entry)
            }
            let ready = found.intersection(interest.union([.error, .hangUp]))
            return ready.isEmpty ? nil : ready
        } catch QuiesceError.noDevice { return [.error, .hangUp] }
    }

    // MARK: Closing

    /// Closes the file: waits until no operation runs on it, and wakes those that wait in it. The
    /// driver's `close` runs, whether the device is there or not.
    ///
    /// - Throws: `.closed` when somebody has closed it, and then that is over; `.inside` from one
    ///   of its own operations; `.timedOut`, which names those inside.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(within timeout: Duration? = nil) throws(QuiesceError) {
        if try !opened.close(within: timeout) { throw .closed(name) }
    }

    /// Closes the file, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func close(within timeout: Duration? = nil) async throws {
        if try await !opened.close(within: timeout) { throw QuiesceError.closed(name) }
    }

    /// Whether the file takes no more operations.
    public var isClosed: Bool { opened.isClosing }

    // MARK: Operations

    @usableFromInline
    enum Outcome<Result> {
        case result(Result)
        case gone
    }

    /// Runs an operation of the driver, once, inside.
    @inlinable
    @inline(__always)
    func attempt<Result>(
        _ operation: StaticString,
        _ body: (borrowing Opened, borrowing Gate.Entry) throws -> Result
    ) throws -> Result {
        let outcome: Outcome<Result>? = try opened.withValue { opened in
            let outcome: Outcome<Result>? = try opened.gate.withEntry { _ in
                try opened.binding.withEntry { entry in
                    .result(try body(opened, entry))
                }
            }
            return outcome ?? .gone
        }
        switch outcome {
        case .result(let result): return result
        case .gone: throw QuiesceError.noDevice(of: name, operation: "\(operation)")
        case nil: throw QuiesceError.closed(name)
        }
    }
}
