// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What ends when a driver is unbound from its device, and so may not be used after that.
public enum BindingLifetime: ScopeLifetime {}

/// What ends with the last reference to an object, which may be long after its device has gone.
public enum ObjectLifetime: ScopeLifetime {}

/// When a scope ends: one of `BindingLifetime` and `ObjectLifetime`.
public protocol ScopeLifetime: Sendable {}

/// The scope of a binding: it ends when a driver is unbound, under whatever still uses the device.
///
/// It hands out only `Revocable` values: what users keep is a way to ask.
public typealias BindingScope = ResourceScope<BindingLifetime>

/// The scope of an object: it ends with the last reference to the object.
///
/// It hands out plain values: who reaches them has a reference to the object.
public typealias ObjectScope = ResourceScope<ObjectLifetime>

/// Resources that are released together, the last one first.
///
///     let scope = BindingScope(name: "camera")
///     let registers = try scope.acquire("registers") { try map(region) }
///     let interrupt = try scope.add("interrupt") { line.free() }
///     try scope.close()                // frees the line, then unmaps the region
///
/// There are four ways to use a scope, and each has its own moment. What was *registered* is
/// unregistered first, before the driver's `remove` runs, so that no new user comes in. What was
/// *acquired* is given back after `remove`, once its users have left; what was *allocated* lives as
/// long as the object that its users have references to. What was *associated* goes last. An
/// action that is added stands among what was acquired or allocated.
///
/// A release runs once. A release that throws does not keep the others from running: `close` throws
/// when all are over, and names it. Of two callers that release the same resource the first one
/// runs the release, and the other waits until it is over. A release action never waits so for
/// another one: two of them could wait for each other.
///
/// In a forked child a release that another thread ran is over; all else is as it was.
///
/// Kernel counterparts: devres, whose resources end at unbind, and the managed resources of DRM,
/// which end with an object. "Why is devm_kzalloc() harmful" says why both are needed, and asks for
/// one implementation.
public final class ResourceScope<Lifetime: ScopeLifetime>: Sendable {
    /// What messages and traces call it.
    public var name: String { engine.name }

    /// Does the work. It is not generic: a user's module calls generic code of this one without
    /// specialising it, which is slow.
    let engine: ScopeEngine

    /// - Parameter name: what messages and traces call it.
    public init(name: String = "scope", file: StaticString = #filePath, line: UInt = #line) {
        engine = ScopeEngine(name, WaitClass(.release, file: file, line: line))
        engine.label()
    }

    deinit {
        // A release that runs now never returns: a thread that could end it would have the scope.
        let count = engine.change("end") { list in
            list.forgetReleases(besides: 0)
            return list.count
        }
        guard count > 0 else { return }
        do {
            try close()
        } catch {
            warn("a scope that nobody closed has ended: \(error)")
        }
    }

    // MARK: Looking

    /// How many resources there are, those whose release runs among them.
    public var count: Int { engine.look { $0.count } }

    /// Whether there is nothing to release, and no group.
    public var isEmpty: Bool { engine.look { $0.count == 0 && $0.groupCount == 0 } }

    /// Whether nothing can be added any more.
    public var isClosing: Bool { engine.look { $0.phase == .over } }

    /// Whether a resource is here, and its release has not begun.
    public func contains(_ resource: ResourceID) -> Bool {
        engine.look { $0.contains(resource.number) }
    }

    /// The resource that was added last among those that have this name. Takes time in proportion
    /// to their number. Kernel: `devres_find`.
    public func resource(named name: String) -> ResourceID? {
        engine.look { $0.last(named: name) }.map { ResourceID(number: $0) }
    }

    // MARK: Adding

    /// Adds an action that runs when the scope ends. Kernel: `devm_add_action_or_reset`.
    ///
    /// - Parameter name: what errors and traces call it.
    /// - Throws: `.closed` when the scope takes no more. Then the action has run; if it threw,
    ///   `.releasesFailed`.
    @discardableResult
    public func add(
        _ name: String = "resource", _ release: consuming @escaping @Sendable () throws -> Void
    ) throws(QuiesceError) -> ResourceID {
        try engine.add(name, .action(consume release), .resources)
    }

    /// Registers something, so that users come in: `begin` is called now, and `end` before anything
    /// else of the scope is released, and before the driver's `remove` runs.
    ///
    /// - Throws: what `begin` throws, and then what it added to the scope is released. As `add`.
    @discardableResult
    public func register(
        _ name: String, _ begin: () throws -> Void,
        unregister end:
            @escaping @Sendable () throws ->
            Void
    ) throws -> ResourceID {
        try engine.releasingOnFailure(name) { try begin() }
        return try engine.add(name, .action(end), .registrations)
    }

    /// Registers something whose users enter a gate, so that they can be waited for: when it ends,
    /// the gate closes, the users inside are waited for, and then `end` is called. Otherwise as the
    /// other `register`.
    ///
    /// The wait takes the deadline of who ends the scope, and suspends where that is a task.
    @discardableResult
    public func register(
        _ name: String, behind gate: Gate, _ begin: () throws -> Void = {},
        unregister end: @escaping @Sendable () throws -> Void = {}
    ) throws -> ResourceID {
        try engine.releasingOnFailure(name) { try begin() }
        return try engine.add(name, .value(GatedRegistration(gate, end)), .registrations)
    }

    // MARK: Taking out

    /// Takes a resource out of the scope without releasing it: it is the caller's again. What was
    /// declared to be released before or after it no longer is, on its account. Kernel:
    /// `devm_remove_action`.
    ///
    /// - Returns: false when it is not here, or its release has begun.
    @discardableResult
    public func remove(_ resource: ResourceID) -> Bool {
        // What it captured ends here, outside of the lock.
        let content = engine.change("remove from") { $0.remove(resource.number) }
        return content != nil
    }

    // MARK: Order

    /// Declares that `first` is released before `second`, in whatever order the two were added, and
    /// whoever releases `second`, and when.
    ///
    /// A release that a driver does by hand is put into the order as an action, which the driver
    /// runs with `release`.
    ///
    /// - Throws: `.cycle` when `second` has to be released before `first` already, or the two are
    ///   the same.
    public func release(_ first: ResourceID, before second: ResourceID) throws(QuiesceError) {
        if engine.change("order in", { $0.order(first.number, before: second.number) }) { return }
        let names = engine.look { list in
            (list.name(of: first.number), list.name(of: second.number))
        }
        throw .cycle("\(names.0) before \(names.1), in \(name)")
    }
}

/// A registration whose users are inside a gate.
private final class GatedRegistration: ScopedValue {
    private let gate: Gate
    private let end: @Sendable () throws -> Void

    init(_ gate: Gate, _ end: @escaping @Sendable () throws -> Void) {
        self.gate = gate
        self.end = end
    }

    func drain(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        try gate.close(until: deadline)
    }

    func drain(until deadline: WorldClock.Instant?) async throws {
        try await gate.close(until: deadline)
    }

    func finish() throws { try end() }
}

/// Identifies a resource of a scope. No two resources of a process share an identity.
public struct ResourceID: Hashable, Sendable {
    let number: UInt64
}

/// Identifies a group of a scope.
public struct ResourceGroupID: Hashable, Sendable {
    let number: UInt64
}
