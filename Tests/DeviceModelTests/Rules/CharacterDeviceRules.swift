// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import ExploringSupport
import Quiesce
import Substrate
import TestSupport
import Testing

/// Files of devices that go away.
///
/// Not here: `mmap_after_unplug`. Memory is not mapped for users.
@Suite("chardev") struct CharacterDeviceRules {
    private let bus = Bus(name: "bus")
    private let log = Log()
    private let directory = DeviceDirectory<Station>()
    private let device = DeviceModelTests.device("a")

    init() throws {
        try bus.register(
            TestDriver { [log, directory] binding in
                try binding.addCharacterDevice("node", Station(log: log), in: directory)
            })
        try bus.add(device)
    }

    private func gone(_ operation: String) -> QuiesceError {
        .noDevice(of: "node", operation: operation)
    }

    @Test func open_after_del() throws {
        let node = try #require(directory["node"])
        try device.unbind()
        #expect(error { _ = try directory.openNow("node") } == gone("opening"))
        #expect(error { _ = try node.openNow() } == gone("opening"))
        #expect(error { _ = try node.open() } == gone("opening"))
    }

    @Test func already_open_after_del_plain() throws {
        let file = try directory.openNow("node")
        try device.unbind()
        #expect(error { _ = try file.controlNow(1) } == gone("control"))
        #expect(error { _ = try file.control(1) } == gone("control"))
        #expect(error { _ = try file.readNow(1) } == gone("read"))
        #expect(error { _ = try file.read(1) } == gone("read"))
        #expect(error { _ = try file.writeNow([1]) } == gone("write"))
        #expect(error { _ = try file.write([1]) } == gone("write"))
    }

    /// An operation that blocks in the driver is waited for.
    @Test func unbind_waits_for_ongoing_ioctl() throws {
        struct Slow: FileOperations {
            let log: Log
            let inside = WaitPoint.Shared()
            let goOn = WaitPoint.Shared()

            func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
                inside.advance(to: 1)
                goOn.wait(for: 1)
                log.note("control returns")
                return request
            }
        }
        let slow = Slow(log: log)
        let nodes = DeviceDirectory<Slow>()
        try bus.register(
            TestDriver("slow", compatible: ["slow"]) { binding in
                try binding.addCharacterDevice("slow", slow, in: nodes)
            })
        let device = Device(name: "b", compatible: ["slow"])
        try bus.add(device)
        let file = try nodes.openNow("slow")
        let user = try WorldThread.spawn(name: "user") { _ = try? file.control(1) }
        slow.inside.wait(for: 1)
        let failure = error { try device.unbind(within: .milliseconds(1)) }
        guard case .timedOut(of: "slow", let occupants, _) = failure else {
            slow.goOn.advance(to: 1)
            user.join()
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(occupants.count == 1)
        slow.goOn.advance(to: 1)
        try device.unbind()
        #expect(log.all == ["control returns"])
        user.join()
    }

    @Test func unbind_wakes_sleepers() throws {
        let file = try directory.openNow("node")
        let found = Mutex<[QuiesceError?]>([])
        let sleepers = [Sleeper(), Sleeper()]
        let readers = try WorldThread.spawn(name: "reader") {
            sleepers[0].announce()
            // The time is for the case that nobody wakes them.
            let error = error { _ = try file.read(1, within: .seconds(20)) }
            found.withLock { $0.append(error) }
        }
        let others = try WorldThread.spawn(name: "controller") {
            sleepers[1].announce()
            let error = error { _ = try file.poll(.readable, within: .seconds(20)) }
            found.withLock { $0.append(error) }
        }
        for sleeper in sleepers { sleeper.waitUntilAsleep() }
        try device.unbind()
        readers.join()
        others.join()
        let errors = found.withLock { $0 }
        #expect(errors.contains(gone("read")) && errors.contains(nil) && errors.count == 2)
    }

    @Test func close_after_unbind() throws {
        let file = try directory.openNow("node")
        try device.unbind()
        #expect(log.all == [])
        try file.close()
        #expect(log.all == ["close", "freed"])
    }

    @Test func object_lives_until_last_close() throws {
        let (first, second) = (try directory.openNow("node"), try directory.openNow("node"))
        try device.unbind()
        try first.close()
        #expect(log.take() == ["close"])
        try second.close()
        #expect(log.take() == ["close", "freed"])
    }

    @Test func open_races_unbind() throws {
        try verify("open races unbind", granularity: .coarse, FileTests.openAgainstUnbind)
    }

    @Test func rebind_while_old_fd_open() throws {
        let old = try directory.openNow("node")
        let driver = try #require(device.driver)
        try device.unbind()
        try device.bind(to: driver)
        #expect(error { _ = try old.controlNow(1) } == gone("control"))
        let new = try directory.openNow("node")
        #expect(try new.controlNow(1) == 1)
    }

    @Test func poll_after_unbind() throws {
        let file = try directory.openNow("node")
        #expect(try file.pollNow(.readable) == nil)
        try device.unbind()
        #expect(try file.pollNow(.readable) == [.error, .hangUp])
        #expect(try file.pollNow([]) == [.error, .hangUp])
    }

    @Test func add_visible_immediately() throws {
        let found = Mutex<Int?>(nil)
        let nodes = DeviceDirectory<Station>()
        try bus.register(
            TestDriver("second", compatible: ["second"]) { binding in
                try binding.addCharacterDevice("early", Station(), in: nodes)
                let value = try nodes.openNow("early").controlNow(3)
                found.withLock { $0 = value }
            })
        try bus.add(Device(name: "b", compatible: ["second"]))
        #expect(found.withLock { $0 } == 3)
    }

    /// A probe that fails after users came in: their files live on.
    @Test func device_add_failure_after_cdev_add() throws {
        let file = Mutex<OpenFile<Station>?>(nil)
        let nodes = DeviceDirectory<Station>()
        try bus.register(
            TestDriver("second", compatible: ["second"]) { [log] binding in
                try binding.addCharacterDevice("early", Station(log: log), in: nodes)
                let opened = try nodes.openNow("early")
                file.withLock { $0 = opened }
                throw Failure()
            })
        try bus.add(Device(name: "b", compatible: ["second"]))
        let opened = try #require(file.withLock { $0.take() })
        #expect(log.all == [])
        #expect(
            error { _ = try opened.controlNow(1) } == .noDevice(of: "early", operation: "control"))
        try opened.close()
        #expect(log.all == ["close", "freed"])
    }

    @Test func parent_pinned_by_open_fd() throws {
        var parent: Device? = Device(name: "hub")
        try parent?.scope.add("action") { [log] in log.note("parent freed") }
        try bus.add(#require(parent))
        var child: Device? = DeviceModelTests.device("child", parent: parent)
        try #require(parent).scope.add("unused") {}
        // The node of the first device is in the way.
        try bus.remove(device)
        try bus.add(#require(child))
        let file = try directory.openNow("node")
        try bus.remove(#require(parent))
        (parent, child) = (nil, nil)
        #expect(bus.deviceCount == 0 && !log.take().contains("parent freed"))
        try file.close()
        #expect(log.all.contains("parent freed"))
    }
}
