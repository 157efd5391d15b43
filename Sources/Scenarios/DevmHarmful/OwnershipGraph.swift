// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Could we simplify manual refcount handling with a new object that would store the kref release
/// function pointer at initialization time, store the parent-child relationships between objects,
/// [and] automatically decrease reference counts based on those relationships?"
///
/// A driver has two nodes that depend on its structure. Counts alone do not free a cycle: if the
/// structure depends on a node as well, neither is ever freed.
enum OwnershipGraph {
    private static func program(
        _ world: ExploredWorld,
        _ relate: (_ state: Storage<OwnedObject>, _ nodes: [Storage<OwnedObject>]) -> Void
    ) {
        let state = OwnedObject.allocate("state") { world.note("release state") }
        let nodes = (0..<2).map { number in
            OwnedObject.allocate("video\(number)") { world.note("release video\(number)") }
        }
        for node in nodes { node.depend(on: state) }
        relate(state, nodes)
        // Each node holds the structure from here on.
        state.put()
        // A file of the second node is open.
        nodes[1].get()
        world.thread("user space") {
            world.note("close")
            state.use()
            nodes[1].put()
        }
        world.thread("hotplug") {
            world.note("unbind")
            for node in nodes { node.put() }
        }
    }

    static let broken = Story(
        "ownership-graph", text: DevmHarmful.text, .broken,
        "ownership graph with a cycle",
        expecting: .leak
    ) { world in
        program(world) { state, nodes in state.depend(on: nodes[0]) }
    }

    static let asTheKernelDoes = Story(
        "ownership-graph-kernel", text: DevmHarmful.text, .repaired,
        "ownership graph: two nodes, one state"
    ) { world in
        program(world) { _, _ in }
    }

    /// The circle is refused where it would be made, and what is left is freed.
    static let repaired = Story(
        "ownership-graph-repaired", text: DevmHarmful.text, .repaired,
        "ManagedObject: refuses to close a circle"
    ) { world in
        let memory = DriverState.allocate()
        let state = Reference(ManagedObject(memory, name: "state") { unsafe $0.free() })
        let binding = BindingScope(name: "binding")
        for name in ["video0", "video1"] {
            let node = NodeTable<ManagedObject<Int>>(name: name)
            let object = Reference(
                ManagedObject(0, name: name) { _ in world.note("release \(name)") })
            try object.keep(state)
            expect(isRefused { () throws(QuiesceError) in try state.keep(object) })
            try binding.register(name) {
                node.add(object.share())
            } unregister: {
                node.remove()
            }
            world.thread("user of \(name)") {
                guard let file = node.open() else { return }
                world.note("close \(name)")
                memory.use()
                file.drop()
            }
        }
        world.thread("hotplug") { binding.unbind() }
    }

    private static func isRefused(_ keep: () throws(QuiesceError) -> Void) -> Bool {
        do throws(QuiesceError) {
            try keep()
            return false
        } catch {
            if case .cycle = error { return true }
            return false
        }
    }
}

/// The object of the slide "Garbage collection?".
private struct OwnedObject: ~Copyable, Sendable {
    let kref = Atomic(1)
    /// The objects that this one depends on, with a reference to each.
    let parents = Unsynchronized<[Storage<OwnedObject>]>([])
    let data = Unsynchronized(0)
    let release: @Sendable () -> Void

    private init(release: @escaping @Sendable () -> Void) {
        self.release = release
    }

    static func allocate(_ name: String, release: @escaping @Sendable () -> Void)
        -> Storage<OwnedObject>
    {
        let object = Storage.allocate(OwnedObject(release: release), name: name)
        object.pointee.kref.label("kref")
        object.pointee.parents.label("parents")
        object.pointee.data.label("data")
        return object
    }
}

extension Storage<OwnedObject> {
    fileprivate func depend(on parent: Storage<OwnedObject>) {
        parent.get()
        pointee.parents.withValue { $0.append(parent) }
    }

    fileprivate func get() { pointee.kref.wrappingAdd(1, ordering: .relaxed) }

    /// The last put calls the release function, and then puts the parents.
    fileprivate func put() {
        guard
            pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
        else { return }
        pointee.release()
        let parents = pointee.parents.load()
        unsafe free()
        for parent in parents { parent.put() }
    }

    fileprivate func use() { _ = pointee.data.load() }
}
