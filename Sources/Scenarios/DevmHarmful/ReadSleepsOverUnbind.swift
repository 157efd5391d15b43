// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Unbind/ongoing system call race", where the system call is a read that sleeps until the device
/// has data.
///
/// Unbind waits for the read to end. A device that is gone has no data, so the driver must wake its
/// readers first.
enum ReadSleepsOverUnbind {
    /// The driver's wait queue.
    private final class FrameQueue: Sendable {
        /// 0 while there is nothing to read, 1 when the device is gone.
        private let state = WaitPoint()

        init() { state.label("frames") }

        func read() throws(KernelError) {
            while state.word.load(ordering: .acquiring) == 0 { state.wait(while: 0) }
            throw .noDevice
        }

        func hangUp() {
            state.word.store(1, ordering: .releasing)
            state.wake()
        }
    }

    private static func program(
        _ world: ExploredWorld, wakeReaders: @escaping @Sendable (FrameQueue) -> Void
    ) {
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let frames = FrameQueue()
        let node = device.probe {
            let node = DeviceNode.allocate(
                mode: .queued,
                operations: FileOperations(read: { () throws(KernelError) in try frames.read() }))
            map.add(node)
            return node
        }
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            expect(KernelError.of { () throws(KernelError) in try file.read() } == .noDevice)
            file.close()
        }
        world.thread("hotplug") {
            device.unbind { map.delete(node, wakeReaders: { wakeReaders(frames) }) }
        }
    }

    static let broken = Story(
        "read-sleeps-over-unbind", text: DevmHarmful.text, .broken,
        "unbind waits for a read that sleeps",
        expecting: .lostWakeUp
    ) { program($0) { _ in } }

    static let asTheKernelDoes = Story(
        "read-sleeps-over-unbind-kernel", text: DevmHarmful.text, .repaired,
        "unbind wakes a read that sleeps"
    ) { program($0) { $0.hangUp() } }

    /// The driver's object. A read is inside its gate, also while it sleeps.
    private final class Camera: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let gate: Gate
        private let frames: WaitQueue

        init() {
            let frames = WaitQueue(name: "frames")
            self.frames = frames
            // The closer calls this before it waits.
            gate = Gate(name: "camera", whenClosing: { frames.close() })
        }

        /// Waits for a frame, and there never is one.
        func read() throws(KernelError) {
            do {
                try gate.withEntry { _ throws(QuiesceError) in try frames.wait { false } }
            } catch {
                expect(error == .closed("frames"), "\(error)")
            }
            throw .noDevice
        }

        func release() {}
    }

    static let repaired = Story(
        "read-sleeps-over-unbind-repaired", text: DevmHarmful.text, .repaired,
        "Gate: closing wakes a read that sleeps"
    ) { world in
        let binding = BindingScope(name: "binding")
        let node = NodeTable<Camera>(name: "video0")
        let camera = Camera()
        try binding.register("video0") {
            node.add(Reference(camera))
        } unregister: {
            try camera.gate.close()
            node.remove()
        }
        world.thread("user space") {
            guard let file = node.open() else { return }
            let error = file.withObject { camera in
                KernelError.of { () throws(KernelError) in try camera.read() }
            }
            expect(error == .noDevice)
            file.drop()
        }
        world.thread("hotplug") { binding.unbind() }
    }
}
