// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import ExploringSupport
import Quiesce
import Substrate
import TestSupport
import Testing

/// Hardware that notes what is done to it.
private struct Hardware: ClockHardware, GPIOHardware, RegulatorHardware {
    let log: Log
    var lineCount: Int { 4 }

    func enable() { log.note("on") }
    func disable() { log.note("off") }
    func rate() -> UInt64 { 1_000 }

    func setRate(_ hertz: UInt64) -> UInt64 {
        log.note("rate \(hertz)")
        return hertz
    }

    func level(of line: Int) -> Bool { line == 0 }
    func setLevel(_ isHigh: Bool, of line: Int) { log.note("\(line) \(isHigh)") }
    func setDirection(_ direction: GPIOLine.Direction, of line: Int) { log.note("\(direction)") }
}

/// Providers that go away under their consumers.
///
/// Not here:
/// - `regulator_unregister_with_open_consumers` shows what is not safe; here consumers get
///   `.noDevice`, as they do of a clock.
@Suite("providers") struct ProviderRules {
    private let log = Log()

    private func clock(parent: ClockProvider? = nil) -> ClockProvider {
        ClockProvider(name: "clk", Hardware(log: log), parent: parent)
    }

    @Test func clk_unregister_then_enable() throws {
        let provider = clock()
        let clock = try provider.clock()
        try provider.close()
        #expect(error { try clock.enable() } == .noDevice(of: "clk", operation: "enabling"))
        #expect(
            error { try clock.setRate(5) } == .noDevice(of: "clk", operation: "setting its rate"))
        #expect(
            error { _ = try clock.rate() } == .noDevice(of: "clk", operation: "reading its rate"))
        #expect(
            error { _ = try provider.clock() } == .noDevice(of: "clk", operation: "getting it"))
        #expect(log.all == [])
    }

    /// What would switch it off succeeds: it is off.
    @Test func clk_unregister_then_disable_unprepare() throws {
        let provider = clock()
        let clock = try provider.clock()
        try clock.enable()
        try provider.close()
        #expect(log.all == ["on", "off"])
        try clock.disable()
        #expect(
            error { try clock.disable() } == .unbalanced(of: "clk", operation: "disabling"))
        #expect(log.all == ["on", "off"])
    }

    @Test func clk_unregister_twice() throws {
        let provider = clock()
        try provider.close()
        try provider.close()
        #expect(provider.isGone)
    }

    @Test func clk_children_become_orphans() throws {
        let parent = clock()
        let child = ClockProvider(name: "child", Hardware(log: log), parent: parent)
        #expect(child.parent === parent)
        let clock = try child.clock()
        try clock.enable()
        #expect(parent.enableCount == 1)
        try parent.close()
        #expect(child.parent == nil)
        try clock.disable()
        try clock.enable()
        try clock.disable()
        #expect(log.all == ["on", "on", "off", "off", "on", "off"])
    }

    @Test func clk_struct_freed_after_last_put() throws {
        var provider: ClockProvider? = clock()
        weak let watched = provider
        var handle = try provider?.clock()
        try provider?.close()
        provider = nil
        #expect(watched != nil && handle != nil)
        handle = nil
        #expect(watched == nil)
    }

    /// It is switched off, and a warning says so.
    @Test func clk_unregister_prepared_warns() throws {
        let provider = clock()
        try provider.clock().enable()
        // The handle has ended, and what it had enabled with it.
        #expect(provider.enableCount == 0)
        let handle = try provider.clock()
        try handle.enable()
        try provider.close()
        #expect(provider.enableCount == 0 && log.all == ["on", "off", "on", "off"])
    }

    @Test func `a clock is on while somebody wants it`() throws {
        let provider = clock()
        let (first, second) = (try provider.clock(), try provider.clock())
        try first.enable()
        try second.enable()
        try first.disable()
        #expect(log.all == ["on"] && !first.isEnabled && second.isEnabled)
        try second.disable()
        #expect(log.all == ["on", "off"])
    }

    @Test func gpio_remove_then_use() throws {
        let chip = GPIOChip(name: "gpio", Hardware(log: log))
        let line = try chip.request(1, by: "reset")
        #expect(
            error { _ = try chip.request(1, by: "other") }
                == .busy(of: "gpio line 1", operation: "taking it for other"))
        #expect(chip.consumer(of: 1) == "reset")
        try line.setDirection(.output(isHigh: false))
        try line.setLevel(true)
        try chip.close()
        let log = log.take()
        #expect(log == ["output(isHigh: false)", "1 true"])
        #expect(
            error { _ = try line.level() }
                == .noDevice(of: "gpio", operation: "reading line 1"))
        #expect(
            error { try line.setLevel(true) }
                == .noDevice(of: "gpio", operation: "setting line 1"))
        #expect(
            error { try line.setDirection(.input) }
                == .noDevice(of: "gpio", operation: "turning line 1"))
        #expect(self.log.all == [])
    }

    @Test func gpio_remove_waits_for_ongoing_call() throws {
        struct Slow: GPIOHardware {
            let inside = WaitPoint.Shared()
            let goOn = WaitPoint.Shared()
            var lineCount: Int { 1 }
            func level(of line: Int) -> Bool {
                inside.advance(to: 1)
                goOn.wait(for: 1)
                return true
            }
            func setLevel(_ isHigh: Bool, of line: Int) {}
            func setDirection(_ direction: GPIOLine.Direction, of line: Int) {}
        }
        let slow = Slow()
        let chip = GPIOChip(name: "gpio", slow)
        let line = try chip.request(0, by: "user")
        let level = Mutex<Bool?>(nil)
        let user = try WorldThread.spawn(name: "user") {
            let found = try? line.level()
            level.withLock { $0 = found }
        }
        slow.inside.wait(for: 1)
        guard case .timedOut(of: "gpio", _, _) = error(of: { try chip.close(within: .zero) }) else {
            Issue.record("the chip was closed with a call inside")
            return
        }
        slow.goOn.advance(to: 1)
        try chip.close()
        user.join()
        #expect(level.withLock { $0 } == true)
    }

    @Test func gpio_chardev_open_survives() throws {
        let bus = Bus(name: "bus")
        let directory = DeviceDirectory<Station>()
        let log = log
        try bus.register(
            TestDriver { binding in
                try binding.provide(GPIOChip(name: "gpio", Hardware(log: log)))
                try binding.addCharacterDevice("gpiochip0", Station(log: log), in: directory)
            })
        var device: Device? = DeviceModelTests.device("a")
        try device?.scope.add("action") { log.note("device freed") }
        try bus.add(#require(device))
        let file = try directory.openNow("gpiochip0")
        try bus.remove(#require(device))
        device = nil
        #expect(
            error { _ = try file.controlNow(1) }
                == .noDevice(of: "gpiochip0", operation: "control"))
        #expect(log.all == [])
        try file.close()
        #expect(log.all == ["close", "freed", "device freed"])
    }

    @Test func gpio_chardev_poll_woken() async throws {
        let bus = Bus(name: "bus")
        let directory = DeviceDirectory<Station>()
        try await bus.register(
            TestDriver { binding in
                try binding.addCharacterDevice("gpiochip0", Station(), in: directory)
            })
        let device = device("a")
        try await bus.add(device)
        let file = try directory.openNow("gpiochip0")
        async let found = file.poll(.readable, within: .seconds(20))
        try await bus.remove(device)
        #expect(try await found == [.error, .hangUp])
    }

    @Test func regulator_disable_deferred_flushed() throws {
        let queue = WorkQueue(name: "queue")
        let provider = RegulatorProvider(name: "vcc", Hardware(log: log), queue: queue)
        let regulator = try provider.regulator()
        try regulator.enable()
        try regulator.disable(after: .seconds(3_600))
        #expect(log.all == ["on"] && !regulator.isEnabled)
        try provider.close()
        #expect(log.all == ["on", "off"])
        #expect(error { try regulator.enable() } == .noDevice(of: "vcc", operation: "enabling"))
        try queue.close()
    }

    @Test func `a regulator is switched off later`() throws {
        let queue = WorkQueue(name: "queue")
        let provider = RegulatorProvider(name: "vcc", Hardware(log: log), queue: queue)
        let regulator = try provider.regulator()
        try regulator.enable()
        try regulator.disable(after: .milliseconds(1))
        waitUntil { log.all == ["on", "off"] }
        #expect(provider.enableCount == 0)
        try queue.close()
    }
}
