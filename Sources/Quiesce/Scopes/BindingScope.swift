// SPDX-License-Identifier: Apache-2.0

import Substrate

extension ResourceScope where Lifetime == BindingLifetime {
    /// Acquires what the driver may use until it is unbound, and no longer: a mapping, an interrupt
    /// line. It is given back after the driver's `remove`, once its last user has left.
    ///
    /// Make the value noncopyable: a copy of one that can be copied outlives the access.
    ///
    ///     let registers = try scope.acquire("registers") { try map(region) }
    ///     registers.withValue { $0.start() }       // nil after unbind
    ///
    /// - Parameters:
    ///   - gate: the gate behind which the value is, such as the device's: one entry reaches all
    ///     values behind it, and is the proof that the device is bound. Releasing one of them
    ///     closes the gate, and so takes all of them away. Nil for a gate of its own.
    ///   - make: acquires it. When it throws, what it added to the scope is released.
    ///   - release: gives it back; nil where that is what the end of the value does.
    /// - Throws: what `make` throws; `.closed` when the scope takes no more, and then the value has
    ///   been given back.
    public func acquire<Value: ~Copyable & Sendable>(
        _ name: String, behind gate: Gate? = nil, file: StaticString = #filePath,
        line: UInt = #line, _ make: () throws -> Value,
        release: (@Sendable (consuming Value) throws -> Void)? = nil
    ) throws -> Revocable<Value> {
        let value = Revocable(
            try engine.releasingOnFailure(name, make),
            gate: gate ?? Gate(name: name, file: file, line: line),
            file: file, line: line, release: release)
        _ = try engine.add(name, .value(value), .resources)
        return value
    }

    /// Releases a value now: waits for its users, and gives it back. A second caller waits until
    /// that is over.
    ///
    /// Takes time in proportion to what was acquired after it.
    ///
    /// - Returns: whether this call gave it back.
    /// - Throws: as releasing a resource.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func release<Value: ~Copyable>(
        _ value: Revocable<Value>, within timeout: Duration? = nil
    ) throws(QuiesceError) -> Bool {
        guard let resource = resource(of: value) else { return false }
        return try release(resource, within: timeout)
    }

    /// Releases a value now, as the blocking spelling.
    @discardableResult
    public func release<Value: ~Copyable>(
        _ value: Revocable<Value>, within timeout: Duration? = nil
    ) async throws -> Bool {
        guard let resource = resource(of: value) else { return false }
        return try await release(resource, within: timeout)
    }

    /// The value as a resource, for an order or a removal; nil when it has been released.
    ///
    /// Takes time in proportion to what was acquired after it.
    public func resource<Value: ~Copyable>(of value: Revocable<Value>) -> ResourceID? {
        engine.look { $0.number(of: value) }.map { ResourceID(number: $0) }
    }

    /// Keeps a value beside the device, where others find it by its key as long as the driver is
    /// bound. It goes last. Kernel: `devres_add` with a key that others look for.
    ///
    /// - Throws: `.exists` when there is one under this key; `.closed`.
    @discardableResult
    public func associate<Value: Sendable>(
        _ value: Value, under key: AssociationKey<Value>, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) -> Revocable<Value> {
        let gate = Gate(name: key.name, file: file, line: line)
        let value = Revocable(value, gate: gate, file: file, line: line)
        try associate(value, .value(value), under: key)
        return value
    }

    /// What is kept under a key; nil when there is nothing, or no longer.
    public func associated<Value: Sendable>(_ key: AssociationKey<Value>) -> Revocable<Value>? {
        association(under: key) as? Revocable<Value>
    }

    @available(
        *, unavailable,
        message:
            "memory of a binding is gone at unbind, while open files still use it; allocate it in an ObjectScope"
    )
    public func allocate<Value>(_ name: String, _ make: () throws -> Value) -> Value {
        fatalError("unavailable")
    }
}

extension ResourceScope where Lifetime == ObjectLifetime {
    /// Allocates what lives as long as the object: until its last user has dropped the last
    /// reference, whenever its device went away.
    ///
    /// - Parameters:
    ///   - make: makes it. When it throws, what it added to the scope is released.
    ///   - release: ends it; nil where Swift's own end of the value suffices.
    /// - Throws: what `make` throws; `.closed` when the scope takes no more, and then the value has
    ///   been released.
    public func allocate<Value: Sendable>(
        _ name: String, _ make: () throws -> Value,
        release: (@Sendable (Value) throws -> Void)? = nil
    ) throws -> Value {
        let value = try engine.releasingOnFailure(name, make)
        _ = try engine.add(name, .action { try release?(value) }, .resources)
        return value
    }

    /// Keeps a value beside the object, where others find it by its key. It goes last.
    ///
    /// - Throws: `.exists` when there is one under this key; `.closed`.
    public func associate<Value: Sendable>(_ value: Value, under key: AssociationKey<Value>)
        throws(QuiesceError)
    {
        try associate(value, .action {}, under: key)
    }

    /// What is kept under a key; nil when there is nothing, or no longer.
    public func associated<Value: Sendable>(_ key: AssociationKey<Value>) -> Value? {
        association(under: key) as? Value
    }

    @available(
        *, unavailable,
        message:
            "what is acquired is given back at unbind, before the object ends; acquire it in a BindingScope"
    )
    public func acquire<Value: ~Copyable>(_ name: String, _ make: () throws -> Value) -> Value {
        fatalError("unavailable")
    }
}

/// What finds a value that is kept beside a device or an object.
///
///     extension AssociationKey<Firmware> {
///         static let firmware = AssociationKey("firmware")
///     }
///
/// Two keys are different, also where their names are the same.
public final class AssociationKey<Value: Sendable>: Sendable {
    public let name: String

    public init(_ name: String) { self.name = name }
}

extension ResourceScope {
    private struct Association: Sendable {
        let value: any Sendable
        let number: UInt64
    }

    fileprivate func associate<Value>(
        _ value: any Sendable, _ content: ResourceList.Content, under key: AssociationKey<Value>
    ) throws(QuiesceError) {
        let id = ObjectIdentifier(key)
        var resource: ResourceList.Resource? = ResourceList.Resource(
            key.name, content, .associations, by: World.currentThread)
        let isNew: Bool? = engine.change("associate in") { list in
            if let found = list.associations[id] as? Association, list.contains(found.number) {
                return false
            }
            guard let number = list.add(&resource) else { return nil }
            list.associations[id] = Association(value: value, number: number)
            return true
        }
        guard let isNew else { throw .closed(self.name) }
        if !isNew { throw .exists(key.name) }
    }

    fileprivate func association<Value>(under key: AssociationKey<Value>) -> (any Sendable)? {
        let id = ObjectIdentifier(key)
        return engine.look { list in
            guard let found = list.associations[id] as? Association, list.contains(found.number)
            else { return nil }
            return found.value
        }
    }
}
