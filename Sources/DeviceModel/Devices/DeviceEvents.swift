// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// Something that happened to a device of a bus. Kernel counterparts: uevents, and the bus's
/// notifier chain.
public struct DeviceEvent: Sendable, CustomStringConvertible {
    public let kind: Kind
    public let device: Device
    /// The name of the driver that it concerns.
    public let driver: String?

    public enum Kind: Sendable, Equatable {
        case added, bound
        /// A driver lacks something that may come later.
        case deferred(String)
        /// A probe threw this.
        case probeFailed(String)
        /// The driver is about to be unbound: its users are kept out from here on.
        case unbinding
        case unbound, removed
    }

    public var description: String {
        let what =
            switch kind {
            case .deferred(let reason): "deferred (\(reason))"
            case .probeFailed(let error): "probe failed (\(error))"
            case .added, .bound, .unbinding, .unbound, .removed: "\(kind)"
            }
        return "\(device) \(what)" + (driver.map { " by \($0)" } ?? "")
    }
}

/// What happens on a bus, from the moment on at which the stream was made: nothing is left out, and
/// what has not been taken waits.
///
///     for try await event in bus.events() { print(event) }
///
/// It ends when the bus is closed. Several iterations of one stream share what comes: take a stream
/// for each. What waits is kept until it is taken, or the stream ends.
public struct DeviceEvents: AsyncSequence, Sendable {
    /// Keeps the buffer on the bus.
    private final class Subscription: Sendable {
        let bus: Bus
        let buffer = EventBuffer()

        init(_ bus: Bus) {
            self.bus = bus
            DeviceGraph.change("listen to") { [buffer] _ in
                bus.core.withValue { core in
                    if core.isClosed { return buffer.end() }
                    core.subscribers[ObjectIdentifier(buffer)] = buffer
                }
            }
        }

        deinit {
            DeviceGraph.change("stop listening to") { [bus, buffer] _ in
                bus.core.withValue { $0.subscribers[ObjectIdentifier(buffer)] = nil }
            }
        }
    }

    private let subscription: Subscription

    init(_ bus: Bus) { subscription = Subscription(bus) }

    /// Blocks until something happens, and returns it; nil when the bus is closed.
    ///
    /// - Throws: `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func next(within timeout: Duration? = nil) throws(QuiesceError) -> DeviceEvent? {
        let deadline = WorldClock.deadline(within: timeout)
        while true {
            switch subscription.buffer.take() {
            case .event(let event): return event
            case .over: return nil
            case .nothing:
                try DeviceGraph.current.changes.wait(until: deadline) {
                    subscription.buffer.hasNews
                }
            }
        }
    }

    /// Suspends until something happens, and returns it; nil when the bus is closed.
    ///
    /// - Throws: `.timedOut`, and `CancellationError`.
    public func next(within timeout: Duration? = nil) async throws -> DeviceEvent? {
        let deadline = WorldClock.deadline(within: timeout)
        while true {
            switch subscription.buffer.take() {
            case .event(let event): return event
            case .over: return nil
            case .nothing:
                try await DeviceGraph.current.changes.wait(until: deadline) {
                    subscription.buffer.hasNews
                }
            }
        }
    }

    public struct Iterator: AsyncIteratorProtocol {
        let events: DeviceEvents

        public mutating func next() async throws -> DeviceEvent? { try await events.next() }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(events: self) }
}

extension Bus {
    /// What happens from now on.
    public func events() -> DeviceEvents { DeviceEvents(self) }
}

/// The events that a stream has not taken.
final class EventBuffer: Sendable {
    private struct State {
        var events = Line<DeviceEvent>()
        var isOver = false
    }

    enum Taken {
        case event(DeviceEvent)
        case nothing, over
    }

    private let state = Mutex(State())

    init() { state.label("events") }

    func append(_ event: DeviceEvent) { state.withLock { $0.events.append(event) } }

    func end() { state.withLock { $0.isOver = true } }

    var hasNews: Bool { state.withLock { !$0.events.isEmpty || $0.isOver } }

    func take() -> Taken {
        state.withLock { state in
            if let event = state.events.popFirst() { return .event(event) }
            return state.isOver ? .over : .nothing
        }
    }
}
