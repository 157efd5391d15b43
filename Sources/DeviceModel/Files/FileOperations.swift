// SPDX-License-Identifier: Apache-2.0

public import Quiesce

/// What a driver does when a file of its character device is opened, read, written, controlled,
/// polled and closed. Kernel counterpart: `struct file_operations`.
///
/// Every function but `close` is called inside the node and inside the driver's binding: unbind
/// waits until it returns, and calls none of them afterwards. So they do not sleep. One that finds
/// nothing to do yet returns nil, and its caller waits outside, blocking or suspended, until the
/// driver says by `CharacterDevice.wake()` that something has changed, or until the device is gone.
/// A driver cannot forget to wake its readers before it is unbound.
///
///     final class Camera: FileOperations {
///         let registers: Revocable<Registers>
///
///         func control(_ request: Request, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
///             registers.withValue(in: entry) { $0.read(request) }
///         }
///     }
///
/// Several threads may call them at the same time, for one file too.
public protocol FileOperations: Sendable {
    /// What the driver keeps for an open file.
    associatedtype File: Sendable = Void
    /// What `control` is asked.
    associatedtype Request: Sendable = Never
    /// What `control` answers.
    associatedtype Reply: Sendable = Void

    /// Opens a file.
    ///
    /// - Throws: anything. Then the file is not open, and `close` is not called.
    func open(in entry: borrowing Gate.Entry) throws -> File

    /// Reads at most `count` bytes; nil when there are none yet. None at all stand for the end.
    func read(_ count: Int, _ file: File, in entry: borrowing Gate.Entry) throws -> [UInt8]?

    /// Writes as many of the bytes as there is room for, and returns their number; nil when there
    /// is no room yet.
    func write(_ bytes: [UInt8], _ file: File, in entry: borrowing Gate.Entry) throws -> Int?

    /// Answers a request; nil when it cannot yet. Kernel: `ioctl`.
    func control(_ request: Request, _ file: File, in entry: borrowing Gate.Entry) throws -> Reply?

    /// What a caller could do without waiting.
    func poll(_ file: File, in entry: borrowing Gate.Entry) -> Readiness

    /// Ends a file. Called once for each `open` that returned, when no operation runs on the file;
    /// the device may be gone. Kernel: `release`.
    func close(_ file: File)
}

extension FileOperations where File == Void {
    public func open(in entry: borrowing Gate.Entry) throws {}
}

extension FileOperations {
    /// The end, at once.
    public func read(_ count: Int, _ file: File, in entry: borrowing Gate.Entry) throws -> [UInt8]?
    { [] }

    /// Takes all and does nothing with it.
    public func write(_ bytes: [UInt8], _ file: File, in entry: borrowing Gate.Entry) throws
        -> Int?
    { bytes.count }

    /// Ready for everything.
    public func poll(_ file: File, in entry: borrowing Gate.Entry) -> Readiness {
        [.readable, .writable]
    }

    public func close(_ file: File) {}
}

extension FileOperations where Request == Never {
    public func control(_ request: Never, _ file: File, in entry: borrowing Gate.Entry) throws
        -> Reply?
    {}
}

/// What a file is ready for. Kernel: the events of `poll`.
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let readable = Readiness(rawValue: 1)
    public static let writable = Readiness(rawValue: 2)
    /// Something is wrong with the device. Every poll says so, asked or not.
    public static let error = Readiness(rawValue: 4)
    /// The device is gone. Every poll says so, asked or not.
    public static let hangUp = Readiness(rawValue: 8)
}
