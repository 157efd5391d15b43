// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

@testable import Quiesce

/// A gate with something behind it that only those inside may touch until it is closed.
final class Guarded: Sendable {
    let gate: Gate
    let value = Unsynchronized(0)

    init(whenClosing: (@Sendable () -> Void)? = nil) {
        gate = Gate(name: "gate", whenClosing: whenClosing)
        value.label("value")
    }

    /// Reads inside.
    @discardableResult
    func use() -> Bool { gate.withEntry { _ in _ = value.load() } != nil }

    /// Closes, and then writes what nobody may be reading.
    func close() {
        do { try gate.close() } catch { expect(false, "\(error)") }
        value.store(1)
    }
}

@Suite struct GateTests {
    static let closing: @Sendable (ExploredWorld) -> Void = { world in
        let guarded = Guarded()
        world.thread("user") { guarded.use() }
        world.thread("closer") { guarded.close() }
        world.afterwards { expect(guarded.gate.isClosed) }
    }

    @Test func `after close returned nobody is inside`() throws {
        try verify("close", Self.closing)
    }

    static let twoUsers: @Sendable (ExploredWorld) -> Void = { world in
        let guarded = Guarded()
        world.thread("first") { guarded.use() }
        world.thread("second") { guarded.use() }
        world.thread("closer") { guarded.close() }
    }

    @Test func `two users`() throws {
        try verify("two users", Self.twoUsers)
    }

    static let twoClosers: @Sendable (ExploredWorld) -> Void = { world in
        let guarded = Guarded()
        _ = guarded.gate.withEntry { _ in
            for closer in ["one", "other"] {
                world.thread(closer) {
                    do { try guarded.gate.close() } catch { expect(false, "\(error)") }
                    _ = guarded.value.load()
                }
            }
            guarded.value.store(1)
        }
    }

    @Test func `concurrent closers all wait`() throws {
        try verify("two closers", Self.twoClosers)
    }
}
