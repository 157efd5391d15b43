// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// An event as the cases of `eventfd.*` use it: as a descriptor that never waits.
protocol EventUnderTest {
    /// Writes a buffer of `bytes` bytes that begins with `value`.
    func write(bytes: Int, value: UInt64) -> EventAnswer

    /// Reads into a buffer of `bytes` bytes.
    func read(bytes: Int) -> EventAnswer

    /// What can be done now.
    func poll() -> EventAnswer
}

/// What an event answers, and how an expectation spells it.
enum EventAnswer {
    case wrote(bytes: Int)
    case read(bytes: Int, value: UInt64)
    case refused(String)
    case ready(readable: Bool, writable: Bool, error: Bool)

    var members: [String: JSONValue] {
        switch self {
        case .wrote(let bytes): ["ret": .integer(Int64(bytes))]
        case .read(let bytes, let value): ["ret": .integer(Int64(bytes)), "value": .string("\(value)")]
        case .refused(let name): ["error": .string(name)]
        case .ready(let readable, let writable, let error):
            ["readable": .bool(readable), "writable": .bool(writable), "error": .bool(error)]
        }
    }
}

/// A kind of event that every case must pass on.
struct EventImplementation: Sendable {
    let name: String
    /// Makes an event with an initial value, a semaphore or not.
    let make: @Sendable (UInt32, Bool) throws -> any EventUnderTest

    static let all: [EventImplementation] = [
        EventImplementation(name: "EventCounter") {
            let counter = EventCounter(UInt64($0), isSemaphore: $1)
            return TypedEvent(add: counter.tryAdd, take: counter.tryTake, readiness: { counter.readiness })
        },
        EventImplementation(name: "EventFD") {
            do throws(EventError) {
                let event = try EventFD($0, isSemaphore: $1)
                return TypedEvent(add: event.tryAdd, take: event.tryTake, readiness: { event.readiness })
            } catch {
                throw BadInput("\(error)")
            }
        },
    ]
}

/// An event that takes and gives whole 64-bit values: its type refuses what a descriptor does by `EINVAL`.
private struct TypedEvent: EventUnderTest {
    let add: (UInt64) throws(EventError) -> Bool
    let take: () throws(EventError) -> UInt64?
    let readiness: () -> EventCounter.Readiness
    private let width = MemoryLayout<UInt64>.size

    init(
        add: @escaping (UInt64) throws(EventError) -> Bool, take: @escaping () throws(EventError) -> UInt64?,
        readiness: @escaping () -> EventCounter.Readiness
    ) {
        self.add = add
        self.take = take
        self.readiness = readiness
    }

    func write(bytes: Int, value: UInt64) -> EventAnswer {
        guard bytes == width else { return .refused("EINVAL") }
        do throws(EventError) {
            return try add(value) ? .wrote(bytes: width) : .refused("EAGAIN")
        } catch {
            return .refused(error == .invalidValue ? "EINVAL" : "\(error)")
        }
    }

    func read(bytes: Int) -> EventAnswer {
        guard bytes >= width else { return .refused("EINVAL") }
        do throws(EventError) {
            return try take().map { .read(bytes: width, value: $0) } ?? .refused("EAGAIN")
        } catch {
            return .refused("\(error)")
        }
    }

    func poll() -> EventAnswer {
        let readiness = readiness()
        return .ready(
            readable: readiness.contains(.readable), writable: readiness.contains(.writable),
            error: readiness.contains(.overflown))
    }
}
