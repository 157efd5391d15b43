// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// A device that is opened like a file: what a driver offers to users who may keep it open for
/// longer than there is a device.
///
/// From `Binding.addCharacterDevice` until the driver is unbound, `open` gives files. After that
/// no operation of the driver runs or will run. The files live on, and answer `.noDevice`; threads
/// and tasks that sleep in one wake up; closing is always possible, and the last close ends what
/// lives as long as the node.
///
/// Kernel counterpart: `struct cdev`, with the queued mode that was proposed for it.
public final class CharacterDevice<Operations: FileOperations>: Sendable {
    /// What messages, traces and a directory call it.
    public let name: String
    // What the driver gave ends before what it was allocated in, and the device last.
    let operations: Operations
    /// What lives as long as the node, and so as its last open file.
    public let scope: ObjectScope

    /// The device that it belongs to, and that it keeps.
    public let device: Device

    /// It closes when the node goes: an operation is inside of it.
    let gate: Gate
    /// The binding's, whose entry an operation is given.
    let binding: Gate
    let wakeUps: WakeUps
    private let openers: Mutex<Openers>

    private struct Openers {
        var count = 0
        var isExclusive = false
    }

    /// The threads and tasks that wait for something to change about a node.
    ///
    /// Its own object, so that the gate can hang up without a reference to the node.
    final class WakeUps: Sendable {
        private let queue: WaitQueue
        /// Counts what has changed.
        private let changes = Atomic<UInt64>(0)

        init(name: String) {
            queue = WaitQueue(name: name)
            changes.label(name + ".changes")
        }

        private var count: UInt64 { changes.load(ordering: .sequentiallyConsistent) }

        func wake() {
            changes.wrappingAdd(1, ordering: .sequentiallyConsistent)
            queue.wake()
        }

        /// Tries until there is a result, and blocks in between.
        func wait<Result>(_ timeout: Duration?, _ attempt: () throws -> Result?) throws -> Result {
            let deadline = WorldClock.deadline(within: timeout)
            while true {
                let seen = count
                if let result = try attempt() { return result }
                try queue.wait(until: deadline) { count != seen }
            }
        }

        /// Tries until there is a result, and suspends in between.
        func wait<Result>(_ timeout: Duration?, _ attempt: () throws -> Result?) async throws
            -> Result
        {
            let deadline = WorldClock.deadline(within: timeout)
            while true {
                let seen = count
                if let result = try attempt() { return result }
                try await queue.wait(until: deadline) { count != seen }
            }
        }
    }

    /// How a file may be open beside others.
    public enum Sharing: Sendable {
        case shared
        /// No other file of the node is open as long as this one is.
        case exclusive
    }

    init(_ name: String, _ operations: Operations, _ binding: Binding) {
        self.name = name
        self.operations = operations
        device = binding.device
        self.binding = binding.gate
        scope = ObjectScope(name: name)
        let wakeUps = WakeUps(name: name)
        self.wakeUps = wakeUps
        gate = Gate(name: name, whenClosing: { wakeUps.wake() })
        openers = Mutex(Openers())
        openers.label(name + ".openers")
    }

    /// Whether files can no longer be opened, and those that are open answer `.noDevice`.
    public var isGone: Bool { gate.isClosing }

    /// Says that something has changed: those that wait in a file look again. For the driver.
    public func wake() { wakeUps.wake() }

    /// How many files are open.
    public var openCount: Int { openers.withLock { $0.count } }

    // MARK: Opening

    /// Opens a file, unless others have the node and that excludes it.
    ///
    /// - Throws: what the driver's `open` throws; `.busy` when others have it; `.noDevice` when it
    ///   is gone.
    public func openNow(_ sharing: Sharing = .shared) throws -> OpenFile<Operations> {
        guard let file = try attempt(sharing) else {
            throw QuiesceError.busy(of: name, operation: "opening")
        }
        return file
    }

    /// Opens a file. Blocks while others have the node and that excludes it.
    ///
    /// - Throws: what the driver's `open` throws; `.noDevice` when the node is gone; `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func open(_ sharing: Sharing = .shared, within timeout: Duration? = nil) throws
        -> OpenFile<Operations>
    {
        try wakeUps.wait(timeout) { try attempt(sharing) }
    }

    /// Opens a file, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func open(_ sharing: Sharing = .shared, within timeout: Duration? = nil) async throws
        -> OpenFile<Operations>
    {
        try await wakeUps.wait(timeout) { try attempt(sharing) }
    }

    /// Opens a file; nil when others have the node.
    private func attempt(_ sharing: Sharing) throws -> OpenFile<Operations>? {
        let opened: Opening? = try gate.withEntry { _ in
            try binding.withEntry { entry -> Opening in
                guard admit(sharing) else { return .busy }
                do { return .opened(try operations.open(in: entry)) } catch {
                    dismiss()
                    throw error
                }
            }
        }
        switch opened {
        case .opened(let state): return OpenFile(self, state)
        case .busy: return nil
        case nil: throw QuiesceError.noDevice(of: name, operation: "opening")
        }
    }

    private enum Opening {
        case opened(Operations.File)
        case busy
    }

    private func admit(_ sharing: Sharing) -> Bool {
        openers.withLock { openers in
            guard !openers.isExclusive, openers.count == 0 || sharing == .shared else {
                return false
            }
            openers.count += 1
            openers.isExclusive = sharing == .exclusive
            return true
        }
    }

    /// A file is no longer open.
    func dismiss() {
        openers.withLock { openers in
            openers.count -= 1
            openers.isExclusive = false
        }
        wakeUps.wake()
    }
}

extension CharacterDevice: CustomStringConvertible {
    public var description: String { name }
}

extension Binding {
    /// Offers a character device until the driver is unbound: users come in from here on, also
    /// before `probe` has returned, and are kept out before `remove` runs.
    ///
    /// - Parameters:
    ///   - operations: what its files do. They live as long as the last file.
    ///   - directory: where it is found by its name; nil for nowhere.
    /// - Throws: `.exists` when the directory has one of this name; `.closed` when the driver is
    ///   being unbound.
    @discardableResult
    public func addCharacterDevice<Operations: FileOperations>(
        _ name: String, _ operations: Operations, in directory: DeviceDirectory<Operations>? = nil
    ) throws -> CharacterDevice<Operations> {
        let node = CharacterDevice(name, operations, self)
        try scope.register(name, behind: node.gate) {
            try directory?.insert(node)
        } unregister: {
            directory?.remove(node)
        }
        return node
    }
}
