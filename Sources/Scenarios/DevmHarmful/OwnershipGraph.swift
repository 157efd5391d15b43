// SPDX-License-Identifier: Apache-2.0

import Explorer
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
