// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import ExploringSupport
import Quiesce
import Substrate
import TestSupport
import Testing

/// The order between consumers and suppliers.
///
/// Not here: `stateless_with_autoremove_invalid`. A stateless link has no end that ends it, by its
/// type.
@Suite("device_links") struct DeviceLinkRules {
    private let bus = Bus(name: "bus")
    private let log = Log()

    private func register() throws { try bus.register(TestDriver(log: log)) }

    private func chain(_ names: [String]) throws -> [Device] {
        let devices = names.map { device($0) }
        for (consumer, supplier) in zip(devices, devices.dropFirst()) {
            try consumer.link(to: supplier)
        }
        return devices
    }

    @Test func consumer_unbound_first() throws {
        let devices = try chain(["c", "s"])
        try register()
        for device in devices.reversed() { try bus.add(device) }
        _ = log.take()
        try devices[1].unbind()
        #expect(log.all == ["c.remove", "s.remove"])
    }

    @Test func consumer_not_probed_before_supplier() throws {
        try alone {
            let rules = Self()
            let (bus, log) = (rules.bus, rules.log)
            let devices = try rules.chain(["c", "s"])
            try rules.register()
            try bus.add(devices[0])
            expect(devices[0].isDeferred && !devices[0].isBound)
            try bus.add(devices[1])
            expect(log.all == ["s.probe", "c.probe"])
        }
    }

    @Test func cycle_rejected() throws {
        let devices = try chain(["a", "b", "c"])
        #expect(error { try devices[2].link(to: devices[0]) } == .cycle("c needs a"))
        #expect(error { try devices[0].link(to: devices[0]) } == .cycle("a needs a"))
        #expect(devices[2].supplierLinks.isEmpty)
    }

    @Test func parent_to_child_rejected() throws {
        let parent = device("p")
        let child = device("c", parent: parent)
        #expect(error { try parent.link(to: child) } == .cycle("p needs c"))
    }

    @Test func child_to_parent_ok() throws {
        let parent = device("p")
        let child = device("c", parent: parent)
        #expect(try child.link(to: parent).isPresent)
    }

    @Test func chain() throws {
        try alone {
            let rules = Self()
            let (bus, log) = (rules.bus, rules.log)
            let devices = try rules.chain(["c", "b", "a"])
            try rules.register()
            for device in devices { try bus.add(device) }
            expect(log.take() == ["a.probe", "b.probe", "c.probe"])
            try devices[2].unbind()
            expect(log.all == ["c.remove", "b.remove", "a.remove"])
        }
    }

    @Test func diamond() throws {
        try alone {
            let rules = Self()
            let (bus, log) = (rules.bus, rules.log)
            let (a, b, c, d) = (device("a"), device("b"), device("c"), device("d"))
            for (consumer, supplier) in [(d, b), (d, c), (b, a), (c, a)] {
                try consumer.link(to: supplier)
            }
            try rules.register()
            for device in [d, c, b, a] { try bus.add(device) }
            expect([a, b, c, d].allSatisfy { $0.isBound })
            _ = log.take()
            try a.unbind()
            expect(log.all.first == "d.remove" && log.all.last == "a.remove" && log.all.count == 4)
        }
    }

    @Test func state_machine() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        let link = try consumer.link(to: supplier)
        let states = Mutex<[DeviceLink.State?]>([link.state])
        let note: @Sendable () -> Void = { states.withLock { $0.append(link.state) } }
        let driver = TestDriver { binding in
            if binding.device === consumer { note() }
        } remove: { binding in
            if binding.device === supplier { note() }
        }
        try bus.register(driver)
        try bus.add(supplier)
        note()
        try bus.add(consumer)
        note()
        try consumer.unbind()
        note()
        try supplier.unbind()
        note()
        #expect(
            states.withLock { $0 } == [
                .dormant, .available, .consumerProbe, .active, .available, .supplierUnbind,
                .dormant,
            ])
    }

    @Test func probe_failure_reverts() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        let link = try consumer.link(to: supplier)
        try bus.register(TestDriver { if $0.device === consumer { throw Failure() } })
        try bus.add(supplier)
        try bus.add(consumer)
        #expect(link.state == .available && !consumer.isBound)
    }

    @Test func supplier_unbind_waits_for_probing_consumer() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        try consumer.link(to: supplier)
        let (probing, goOn) = (WaitPoint.Shared(), WaitPoint.Shared())
        try bus.register(
            TestDriver(log: log) { [log] binding in
                guard binding.device === consumer else { return }
                probing.advance(to: 1)
                goOn.wait(for: 1)
                log.note("probed")
            })
        try bus.add(supplier)
        let adder = try WorldThread.spawn(name: "adder") { [bus] in try? bus.add(consumer) }
        probing.wait(for: 1)
        #expect(
            error { try supplier.unbind(within: .milliseconds(1)) }
                == .timedOut(of: "c", occupants: []))
        #expect(supplier.isBound)
        goOn.advance(to: 1)
        try supplier.unbind()
        adder.join()
        #expect(log.all == ["s.probe", "c.probe", "probed", "c.remove", "s.remove"])
    }

    @Test func no_new_consumer_bind_while_supplier_unbinding() throws {
        try alone {
            let rules = Self()
            let (bus, log) = (rules.bus, rules.log)
            let (supplier, consumer) = (device("s"), device("c"))
            try consumer.link(to: supplier)
            let driver = TestDriver(
                log: log,
                remove: { binding in
                    guard binding.device === supplier else { return }
                    try? bus.add(consumer)
                })
            try bus.register(driver)
            try bus.add(supplier)
            try supplier.unbind()
            expect(consumer.isDeferred && log.all == ["s.probe", "s.remove"])
            do {
                try consumer.bind(to: driver)
                expect(false, "it was bound")
            } catch { expect(error as? ProbeDeferral == ProbeDeferral("s has no driver yet")) }
        }
    }

    @Test func autoremove_consumer() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        let link = try consumer.link(to: supplier, .managed(endsWith: .consumer))
        try register()
        try bus.add(supplier)
        try bus.add(consumer)
        #expect(link.isPresent)
        try consumer.unbind()
        #expect(!link.isPresent)
    }

    @Test func autoremove_supplier() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        let link = try consumer.link(to: supplier, .managed(endsWith: .supplier))
        try register()
        try bus.add(supplier)
        try bus.add(consumer)
        try consumer.unbind()
        #expect(link.isPresent)
        try supplier.unbind()
        #expect(!link.isPresent)
    }

    @Test func stateless_no_unbind() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        let link = try consumer.link(to: supplier, .stateless)
        try register()
        try bus.add(consumer)
        try bus.add(supplier)
        #expect(link.state == nil)
        try supplier.unbind()
        #expect(consumer.isBound)
    }

    @Test func managed_link_cannot_be_deleted() throws {
        let (supplier, consumer) = (device("s"), device("c"))
        let link = try consumer.link(to: supplier)
        #expect(
            error { try link.remove() }
                == .busy(of: "the link from c to s", operation: "removal"))
        #expect(link.isPresent)
        let other = try consumer.link(to: device("t"), .stateless)
        try other.remove()
        #expect(!other.isPresent)
    }

    @Test func add_reorders_consumer_subtree_to_tail() throws {
        let (a, c) = (device("a"), device("c"))
        let b = device("b", parent: c)
        try register()
        // `c` comes last and goes first, with what hangs on it; then it needs what came before it.
        for device in [a, c, b] { try bus.add(device) }
        try a.link(to: device("unrelated"), .stateless)
        try c.link(to: a)
        _ = log.take()
        try bus.close()
        #expect(log.all == ["b.remove", "c.remove", "a.remove"])
    }

    /// The other way round: what came last is needed by what came first.
    @Test func `consumers go before suppliers that came after them`() throws {
        let (a, b) = (device("a"), device("b"))
        try register()
        try bus.add(a)
        try bus.add(b)
        try a.link(to: b)
        _ = log.take()
        try bus.close()
        #expect(log.all == ["a.remove", "b.remove"])
    }
}
