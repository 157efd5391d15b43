// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// A wait for a callback that stands behind oneself: Linux f5d3ef25d238, ba268514ea14 (Devres).
@Suite struct CallbackBehindOneself {
    private struct Resource: ~Copyable, Sendable {
        /// One reference is the owner's, one the release action's.
        let count = ReferenceCount(2)
        let data = Unsynchronized(7)
    }

    private final class Action: Sendable {
        let isOver = WaitPoint()
        private let body: @Sendable () -> Void

        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.body = body
            isOver.label(name)
        }

        func call() {
            body()
            isOver.word.store(1, ordering: .releasing)
            isOver.wake()
        }
    }

    private final class Device: Sendable {
        private let actions = Mutex<[Action]>([])

        init() { actions.label("actions") }

        func add(_ action: Action) { actions.withLock { $0.append(action) } }

        /// Takes an action back; false when the device has begun to call them.
        func remove(_ action: Action) -> Bool {
            actions.withLock { actions in
                let count = actions.count
                actions.removeAll { $0 === action }
                return actions.count < count
            }
        }

        func unbind() {
            let taken = actions.withLock { actions in
                defer { actions = [] }
                return actions
            }
            for action in taken { action.call() }
        }
    }

    private final class Owner: Sendable {
        private let device: Device
        private let resource: Storage<Resource>
        private let release: Action
        private let waits: Bool

        init(_ device: Device, _ resource: Storage<Resource>, waits: Bool) {
            self.device = device
            self.resource = resource
            self.waits = waits
            release = Action("release") {
                resource.pointee.data.store(0)
                if !waits { Owner.put(resource) }
            }
            device.add(release)
        }

        deinit {
            let isMine = device.remove(release)
            if waits {
                if !isMine { release.isOver.wait(while: 0) }
                unsafe resource.free()
            } else {
                if isMine { Owner.put(resource) }
                Owner.put(resource)
            }
        }

        private static func put(_ resource: Storage<Resource>) {
            if resource.pointee.count.decrementAndTest() { unsafe resource.free() }
        }
    }

    private final class Slot: Sendable {
        private let owner = Mutex<Owner?>(nil)

        init() { owner.label("owner") }

        func fill(_ new: Owner) { owner.withLock { $0 = new } }

        func empty() {
            let taken = owner.withLock { owner in
                defer { owner = nil }
                return owner
            }
            // Without this it may end before the lock is released.
            withExtendedLifetime(taken) {}
        }
    }

    private func program(waits: Bool, hasUser: Bool) -> (ExploredWorld) -> Void {
        { world in
            let resource = Storage.allocate(Resource(), name: "resource")
            resource.pointee.count.label("count")
            resource.pointee.data.label("data")
            let device = Device()
            let slot = Slot()
            device.add(Action("first") { slot.empty() })
            slot.fill(Owner(device, resource, waits: waits))
            world.thread("unbind") { device.unbind() }
            if hasUser { world.thread("user") { slot.empty() } }
        }
    }

    @Test func `the first action waits for the one behind it`() throws {
        try expectFound(
            .lostWakeUp,
            shows: ["unbind waits on release and nobody is left", "unlock owner", "end Owner"],
            columns: ["unbind"], program(waits: true, hasUser: false))
    }

    @Test func `both count and neither waits`() throws {
        try expectVerified(program(waits: false, hasUser: false))
        try expectVerified(program(waits: false, hasUser: true))
    }
}
