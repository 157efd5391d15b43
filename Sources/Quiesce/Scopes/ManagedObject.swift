// SPDX-License-Identifier: Apache-2.0

import Substrate

/// An object whose end was decided when it was made, and that keeps the objects it depends on.
///
/// It has a value, a release action, and parents: every object holds a reference to each of its
/// parents. So the objects of a driver that need one another end in the right order whichever
/// reference is dropped last, and nobody writes that order down a second time:
///
///     let device = Reference(ManagedObject(state, name: "device") { $0.free() })
///     let node = Reference(ManagedObject(video, name: "video0") { $0.free() })
///     try node.keep(device)
///     …
///     device.drop()      // unbind
///     node.drop()        // the last close: frees the node, then the device
///
/// The last drop releases the object, and then, of those that it kept, each that nobody else has
/// any more, and so on, without recursion: a chain of any length does not need more stack.
///
/// What "Why is devm_kzalloc() harmful" asks for under "Garbage collection?": a release function
/// that is stored at initialisation, and counts that follow the relations between objects. No
/// collector is needed, since a circle is refused where it would be made.
public final class ManagedObject<Value: ~Copyable & Sendable>: ReferenceCounted, ManagedNode {
    public let referenceCount = ReferenceCount()
    /// What messages and traces call it.
    public let name: String
    let parents = Unsynchronized<[any ManagedNode]>([])
    let isKept = Unsynchronized(false)

    private let value: Unsynchronized<Value?>
    private let action: @Sendable (consuming Value) -> Void

    /// - Parameters:
    ///   - name: what messages and traces call it.
    ///   - release: ends the value. Called once, by the thread that drops the last reference.
    public init(
        _ value: consuming Value, name: String = "object",
        release: @escaping @Sendable (consuming Value) -> Void
    ) {
        self.name = name
        self.value = Unsynchronized(value)
        action = release
        referenceCount.label(name)
        self.value.label(name + ".value")
        parents.label(name + ".parents")
        isKept.label(name + ".is kept")
    }

    /// Calls `body` with the value.
    public func withValue<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try value.withBorrow(file: file, line: line) { value throws(Failure) in
            switch value {
            case .some(let value): try body(value)
            case .none: fatalError("a managed object was used after its release")
            }
        }
    }

    /// Releases the object, and what it alone kept. Called by the last `Reference`.
    public func release() {
        var kept = end()
        while let object = kept.popLast() {
            guard object.referenceCount.decrementAndTest() else { continue }
            kept += object.end()
            object.endLife()
        }
    }

    func end() -> [any ManagedNode] {
        if let value = value.withValue({ $0.take() }) { action(value) }
        return parents.withValue { parents in
            defer { parents = [] }
            // The one that was kept last is let go of first.
            return parents
        }
    }

    func endLife() { unsafe ObjectLife.end(Unmanaged.passUnretained(self)) }
}

/// A managed object, whatever its value is.
protocol ManagedNode: ReferenceCounted {
    var name: String { get }
    /// The objects that it keeps, with a counted reference to each. The graph's lock protects it,
    /// and once the last reference is dropped nobody else has it.
    var parents: Unsynchronized<[any ManagedNode]> { get }

    /// Whether another object keeps, or has kept, this one. The graph's lock protects it.
    var isKept: Unsynchronized<Bool> { get }

    /// Runs the release action, and returns what the object kept, whose references are the
    /// caller's.
    func end() -> [any ManagedNode]
    /// Ends the object's life, for an observer and for Swift.
    func endLife()
}

extension Reference {
    /// Makes the object keep another one: it holds a reference to `parent` until it has been
    /// released.
    ///
    /// Takes the same time for an object that nobody keeps, such as a new one; otherwise in
    /// proportion to how many objects `parent` keeps, through others too.
    ///
    /// - Throws: `.cycle` when `parent` keeps this object, or is it. Nothing has changed then.
    public borrowing func keep<Value: ~Copyable, Other: ~Copyable>(
        _ parent: borrowing Reference<ManagedObject<Other>>
    ) throws(QuiesceError) where Object == ManagedObject<Value> {
        let (child, other) = (withObject { $0 }, parent.withObject { $0 })
        let isKept = ManagedGraph.current.lock.withLock { _ in
            guard !ManagedGraph.keeps(other, child) else { return false }
            other.isKept.store(true)
            other.referenceCount.increment()
            child.parents.withValue { $0.append(other) }
            return true
        }
        if !isKept { throw .cycle("\(child.name) keeps \(other.name)") }
    }
}

/// The relations between the managed objects of a world.
final class ManagedGraph: Sendable {
    static let key = WorldKey<ManagedGraph>()
    static var current: ManagedGraph { World.current.value(key) { ManagedGraph() } }

    /// Held while a relation is made: two threads must not close a circle between them.
    let lock = Mutex(())

    /// Whether `object` keeps `other`, perhaps through others. The caller has a reference to
    /// `object`, so that all that it keeps is alive.
    static func keeps(_ object: any ManagedNode, _ other: any ManagedNode) -> Bool {
        if object === other { return true }
        guard other.isKept.load() else { return false }
        var open = [object]
        var known: Set<ObjectIdentifier> = []
        while let next = open.popLast() {
            if next === other { return true }
            guard known.insert(ObjectIdentifier(next)).inserted else { continue }
            open += next.parents.load()
        }
        return false
    }
}
