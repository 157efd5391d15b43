// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// What offers a resource to the drivers of other devices: a clock, the lines of a GPIO chip, a
/// regulator.
///
/// It may go away while consumers have it. Then no call reaches the hardware any more, those that
/// run are waited for, and what consumers have answers `.noDevice`. What would switch something off
/// succeeds: it is off.
public protocol Provider: AnyObject, Sendable {
    /// What messages and traces call it.
    var name: String { get }
    /// A call of the hardware is inside of it.
    var gate: Gate { get }
    /// Called once, when no call runs and none will, for what consumers have left.
    func end()
}

extension Provider {
    /// Whether it answers no calls any more.
    public var isGone: Bool { gate.isClosing }

    /// Takes the provider away: refuses calls, and waits for those that run. Again, it waits too.
    ///
    /// - Throws: `.inside` from a call of its hardware, and nothing has changed; `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(within timeout: Duration? = nil) throws(QuiesceError) {
        try gate.close(within: timeout)
        end()
    }

    /// Takes the provider away, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func close(within timeout: Duration? = nil) async throws {
        try await gate.close(within: timeout)
        end()
    }

    /// Runs `body`, which calls the hardware.
    func call<Result>(_ operation: String, _ body: () throws -> Result) throws -> Result {
        guard let result = try gate.withEntry({ _ in try body() }) else {
            throw QuiesceError.noDevice(of: name, operation: operation)
        }
        return result
    }
}

extension Binding {
    /// Offers a provider until the driver is unbound; it goes away before `remove` runs.
    @discardableResult
    public func provide(_ provider: some Provider) throws -> ResourceID {
        try scope.register(provider.name, behind: provider.gate) {
        } unregister: {
            provider.end()
        }
    }
}

/// Something that several consumers switch on and off: it is on while one of them wants it.
final class SharedSwitch: Sendable {
    private let count = Mutex(0)

    init(_ name: String) { count.label(name + ".enables") }

    var total: Int { count.withLock { $0 } }

    /// Calls `on` for the first that wants it on.
    func enable(_ on: () throws -> Void) throws {
        try count.withLock { count in
            if count == 0 { try on() }
            count += 1
        }
    }

    /// Calls `off` for the last that wanted it on.
    func disable(_ off: () throws -> Void) throws {
        try count.withLock { count in
            if count == 1 { try off() }
            count -= 1
        }
    }

    /// Forgets the consumers that wanted it on, and returns how many they were.
    func reset() -> Int {
        count.withLock { count in
            defer { count = 0 }
            return count
        }
    }
}

/// A provider that consumers switch on and off.
protocol SwitchedProvider: Provider {
    var enables: SharedSwitch { get }
    func switchOn() throws
    func switchOff()
}

extension SwitchedProvider {
    func enable() throws { try call("enabling") { try enables.enable { try switchOn() } } }

    func disable() throws {
        do { try call("disabling") { try enables.disable { switchOff() } } } catch {
            // What has gone is off.
            guard case QuiesceError.noDevice = error else { throw error }
        }
    }
}

/// What one consumer has switched on. It is switched off when this ends.
struct OwnEnables<Owner: SwitchedProvider>: ~Copyable, Sendable {
    let provider: Owner
    private let count = Atomic(0)

    init(_ provider: Owner) {
        self.provider = provider
        count.label(provider.name + ".own enables")
    }

    deinit {
        while take() {
            do { try provider.disable() } catch { warn("\(provider.name): \(error)") }
        }
    }

    var isAny: Bool { count.load(ordering: .acquiring) > 0 }

    func enable() throws {
        try provider.enable()
        count.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }

    func disable() throws {
        try takeOne()
        try provider.disable()
    }

    /// Takes back an enable, whose effect the caller ends.
    func takeOne() throws(QuiesceError) {
        guard take() else { throw .unbalanced(of: provider.name, operation: "disabling") }
    }

    /// False when there is none to take back.
    private func take() -> Bool {
        var found = count.load(ordering: .acquiring)
        while found > 0 {
            let (isTaken, now) = count.compareExchange(
                expected: found, desired: found - 1, ordering: .acquiringAndReleasing)
            if isTaken { return true }
            found = now
        }
        return false
    }
}
