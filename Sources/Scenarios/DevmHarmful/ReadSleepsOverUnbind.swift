// SPDX-License-Identifier: Apache-2.0

import Explorer
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
}
