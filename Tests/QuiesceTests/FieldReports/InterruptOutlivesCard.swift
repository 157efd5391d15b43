// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// An interrupt outlives what it calls: Linux 4e53116437e9 (ASoC SDCA).
@Suite struct InterruptOutlivesCard {
    private struct Control: ~Copyable, Sendable {
        let value = Unsynchronized(7)
    }

    /// An interrupt line. Its handler runs under its lock, so that `unregister` waits for it.
    private final class Line: Sendable {
        private let control: Mutex<Storage<Control>?>

        init(_ control: Storage<Control>) {
            self.control = Mutex(control)
            self.control.label("line")
        }

        func fire() { control.withLock { _ = $0?.pointee.value.load() } }
        func unregister() { control.withLock { $0 = nil } }
    }

    private func program(cardRegisters: Bool) -> (ExploredWorld) -> Void {
        { world in
            let control = Storage.allocate(Control(), name: "control")
            control.pointee.value.label("value")
            let line = Line(control)
            // What each has to release, the newest last.
            var device: [() -> Void] = []
            var card: [() -> Void] = [{ unsafe control.free() }]
            if cardRegisters {
                card.append { line.unregister() }
            } else {
                device.append { line.unregister() }
            }
            world.thread("interrupt") { line.fire() }
            for release in card.reversed() + device.reversed() { release() }
        }
    }

    @Test func `the card goes before the device that keeps the interrupt`() throws {
        try expectFound(
            .useAfterFree, shows: ["main freed control", "lock line", "control.value"],
            columns: ["main", "interrupt"], program(cardRegisters: false))
    }

    @Test func `the registration ends before the object`() throws {
        try expectVerified(program(cardRegisters: true))
    }
}
