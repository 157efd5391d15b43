// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// What a thread did, in the order in which it was noted.
final class Journal: Sendable {
    private let entries = Mutex<[String]>([])

    func note(_ entry: String) { entries.withLock { $0.append(entry) } }
    var all: [String] { entries.withLock { $0 } }

    func expectOrder(_ first: String, _ second: String) {
        let all = all
        guard let one = all.firstIndex(of: first), let other = all.firstIndex(of: second) else {
            return expect(false, "\(first) or \(second) did not happen: \(all)")
        }
        expect(one < other, "\(second) came before \(first)")
    }
}

private func close(_ gate: Gate) {
    do { try gate.close() } catch { expect(false, "\(error)") }
}

/// A gate is the percpu_ref whose initial reference is that it is open.
///
/// Not here:
/// - `tryget_live_after_confirm` for `tryget`: a thread inside may enter again only while the
///   gate is open; a second reference of one that counts down is what `Reference.share` is for.
/// - `reinit`, `resurrect_before_zero`: a gate closes for good, so that what was proven about it
///   stays true. Make a new one.
/// - `switch_to_atomic_and_back`: entries are announced in slots or counted, side by side; there is
///   no mode to switch.
@Suite("percpu_ref") struct PercpuRefRules {
    @Test func no_zero_check_before_kill() {
        let gate = Gate()
        for _ in 0..<10 { _ = gate.withEntry { _ in gate.withEntry { _ in } } }
        #expect(!gate.isClosing && !gate.isClosed)
    }

    @Test func kill_then_last_put() throws {
        try verify("kill then last put") { world in
            let gate = Gate()
            let journal = Journal()
            _ = gate.withEntry { _ in
                world.thread("killer") {
                    close(gate)
                    journal.note("released")
                }
                journal.note("put")
            }
            world.afterwards { journal.expectOrder("put", "released") }
        }
    }

    @Test func kill_idle_releases() throws {
        let gate = Gate()
        try gate.close()
        #expect(gate.isClosed)
    }

    @Test func tryget_live_after_confirm() throws {
        let gate = Gate()
        try gate.close()
        #expect(gate.withEntry { _ in } == nil)
    }

    @Test func tryget_live_may_succeed_before_confirm() throws {
        let outcomes = Mutex(Set<Bool>())
        try verify("tryget against kill") { world in
            let gate = Gate()
            world.thread("killer") { close(gate) }
            world.thread("user") {
                let isIn = gate.withEntry { _ in } != nil
                outcomes.withLock { _ = $0.insert(isIn) }
            }
        }
        #expect(outcomes.withLock { $0 } == [true, false])
    }

    /// The kernel warns; closing again is what two paths that tear down do, and is right here.
    @Test func kill_twice() throws {
        let gate = Gate()
        try gate.close()
        try gate.close()
    }

    /// An entry across an await may end on another thread than it began on.
    @Test func counter_wraps_per_cpu() async throws {
        let gate = Gate()
        for _ in 0..<100 {
            _ = await gate.withTaskEntry { _ in await Task.yield() }
        }
        try await gate.close()
        #expect(gate.isClosed)
    }
}

/// The active reference of a kernfs node, as far as it is a gate.
///
/// Not here:
/// - `deactivate_reactivate`, where it is asked for: a gate closes for good. `get_put_memory_only`:
///   that is `Reference`.
/// - `remove_after_remove_self` from inside: here it is refused, as it would wait for its own
///   operation; after that it does nothing.
/// - `open_file_outlives_node`, `remove_subtree_bottom_up`, `never_activated_remove`,
///   `mmap_and_notify_on_drain` and the ownership of nodes: they are about the tree of objects,
///   which comes with `ObjectTree`.
@Suite("kernfs.active") struct KernfsActiveRules {
    @Test func op_then_remove() throws {
        try verify("op then remove") { world in
            let gate = Gate()
            let journal = Journal()
            _ = gate.withEntry { _ in
                world.thread("remover") {
                    close(gate)
                    journal.note("removed")
                    expect(gate.withEntry { _ in } == nil, "a new operation began")
                }
                journal.note("operation over")
            }
            world.afterwards { journal.expectOrder("operation over", "removed") }
        }
    }

    @Test func remove_idle() throws {
        let gate = Gate()
        // In the past: it must not have to wait.
        try gate.close(until: WorldClock.Instant(nanoseconds: 1))
    }

    @Test func concurrent_removers_all_return_after_drain() throws {
        try verify("concurrent removers") { world in
            let gate = Gate()
            let journal = Journal()
            _ = gate.withEntry { _ in
                for name in ["T2", "T3"] {
                    world.thread(name) {
                        close(gate)
                        journal.note(name)
                    }
                }
                journal.note("operation over")
            }
            world.afterwards {
                for name in ["T2", "T3"] { journal.expectOrder("operation over", name) }
            }
        }
    }

    @Test func remove_self_from_own_op() throws {
        let gate = Gate()
        let isMine = gate.withOwnedEntry { entry -> Bool in
            guard let entry = try? entry.closeFromInside() else { return false }
            entry.leave()
            return true
        }
        #expect(isMine == true && gate.isClosing)
        try gate.close()
    }

    @Test func plain_remove_from_own_op() {
        let gate = Gate()
        _ = gate.withEntry { _ in #expect(throws: QuiesceError.self) { try gate.close() } }
    }

    @Test func remove_self_twice_concurrent() throws {
        try verify("two remove themselves") { world in
            let gate = Gate()
            let journal = Journal()
            let store: @Sendable (consuming Gate.Entry) -> Void = { entry in
                do {
                    if let entry = try entry.closeFromInside() {
                        journal.note("won")
                        journal.note("operation over")
                        entry.leave()
                    } else {
                        journal.note("lost")
                    }
                } catch { expect(false, "\(error)") }
            }
            _ = gate.withOwnedEntry { entry in
                world.thread("T2") {
                    if gate.withOwnedEntry(store) == nil { journal.note("refused") }
                }
                store(entry)
            }
            world.afterwards {
                expect(journal.all.filter { $0 == "won" }.count == 1)
                if journal.all.contains("lost") { journal.expectOrder("operation over", "lost") }
            }
        }
    }

    @Test func remove_after_remove_self() throws {
        let gate = Gate()
        _ = gate.withOwnedEntry { entry in
            guard let entry = try? entry.closeFromInside() else { return }
            // From inside it is refused, as it would wait for its own operation.
            #expect(throws: QuiesceError.self) { try gate.close() }
            entry.leave()
            // After that it does nothing.
            #expect(throws: Never.self) { try gate.close() }
        }
        #expect(gate.isClosed)
    }

    /// Protection that is broken cannot be restored: the proof of it is gone.
    @Test func break_active_then_remove() throws {
        try verify("break, then remove") { world in
            let gate = Gate()
            _ = gate.withOwnedEntry { entry in
                world.thread("remover") { close(gate) }
                entry.leave()
                // Waits for the remover, which therefore does not wait for this operation.
                close(gate)
                expect(gate.withEntry { _ in } == nil, "the protection came back")
            }
        }
    }
}

/// A character device's gate.
///
/// Not here, since they need the device itself, which comes with `CharacterDevice`:
/// `close_after_unbind`, `object_lives_until_last_close`, `open_races_unbind`,
/// `rebind_while_old_fd_open`, `mmap_after_unplug`, `poll_after_unbind`, `add_visible_immediately`,
/// `device_add_failure_after_cdev_add`, `parent_pinned_by_open_fd`.
@Suite("chardev") struct CharacterDeviceRules {
    @Test func open_after_del() throws {
        let gate = Gate()
        try gate.close()
        #expect(gate.withEntry { _ in } == nil)
    }

    @Test func already_open_after_del_plain() throws {
        let driver = Revocable([1, 2, 3])
        #expect(driver.withValue { $0.count } == 3)
        try driver.close()
        #expect(driver.withValue { _ in Issue.record("the driver was touched") } == nil)
    }

    @Test func unbind_waits_for_ongoing_ioctl() throws {
        try verify("unbind waits") { world in
            let driver = Revocable(0)
            let journal = Journal()
            _ = driver.withValue { _ in
                world.thread("T2") {
                    do { try driver.close() } catch { expect(false, "\(error)") }
                    journal.note("unbound")
                }
                journal.note("ioctl returns")
            }
            world.afterwards { journal.expectOrder("ioctl returns", "unbound") }
        }
    }

    @Test func unbind_wakes_sleepers() throws {
        try verify("unbind wakes") { world in
            let frames = WaitQueue(name: "frames")
            let gate = Gate(whenClosing: { frames.close() })
            world.thread("reader") {
                _ = gate.withEntry { _ in
                    do throws(QuiesceError) { try frames.wait { false } } catch {
                        expect(error == .closed("frames"))
                    }
                }
            }
            world.thread("unbind") { close(gate) }
        }
    }
}
