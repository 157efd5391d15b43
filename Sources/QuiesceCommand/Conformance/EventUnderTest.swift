// SPDX-License-Identifier: Apache-2.0

import Foundation
import Quiesce
import QuiesceStories

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

    var members: [String: ConformanceValue] {
        switch self {
        case .wrote(let bytes): ["ret": .integer(Int32(bytes))]
        case .read(let bytes, let value):
            ["ret": .integer(Int32(bytes)), "value": .digits(value)]
        case .refused(let name): ["error": .text(name)]
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
            CounterUnderTest(EventCounter(UInt64($0), isSemaphore: $1))
        },
        EventImplementation(name: "EventFD") {
            do throws(QuiesceError) {
                return DescriptorUnderTest(event: try EventFD($0, isSemaphore: $1))
            } catch {
                throw BadInput("\(error)")
            }
        },
    ]
}

/// An `EventCounter`. It takes and gives whole 64-bit values: its type refuses what a descriptor
/// does by `EINVAL`.
private struct CounterUnderTest: EventUnderTest {
    let counter: EventCounter
    private let width = MemoryLayout<UInt64>.size

    init(_ counter: EventCounter) { self.counter = counter }

    func write(bytes: Int, value: UInt64) -> EventAnswer {
        guard bytes == width else { return .refused("EINVAL") }
        do throws(QuiesceError) {
            return try counter.tryAdd(value) ? .wrote(bytes: width) : .refused("EAGAIN")
        } catch {
            return .refused(error == .invalidValue ? "EINVAL" : "\(error)")
        }
    }

    func read(bytes: Int) -> EventAnswer {
        guard bytes >= width else { return .refused("EINVAL") }
        return counter.tryTake().map { .read(bytes: width, value: $0) } ?? .refused("EAGAIN")
    }

    func poll() -> EventAnswer { EventAnswer(counter.readiness) }
}

/// An `EventFD`, by the system calls themselves.
private struct DescriptorUnderTest: EventUnderTest {
    let event: EventFD

    func write(bytes: Int, value: UInt64) -> EventAnswer {
        // Kernels before 6.4 or so took a longer buffer for a value; this type has no way to write
        // one.
        guard bytes <= MemoryLayout<UInt64>.size else { return .refused("EINVAL") }
        let count = event.write(bytes: bytes, value: value)
        return count < 0 ? .refused(Self.name(-count)) : .wrote(bytes: count)
    }

    func read(bytes: Int) -> EventAnswer {
        let (count, value) = event.read(bytes: bytes)
        return count < 0 ? .refused(Self.name(-count)) : .read(bytes: count, value: value)
    }

    func poll() -> EventAnswer { EventAnswer(event.readiness) }

    private static func name(_ number: Int) -> String {
        switch Int32(number) {
        case EINVAL: "EINVAL"
        case EAGAIN: "EAGAIN"
        default: "error number \(number)"
        }
    }
}

extension EventAnswer {
    init(_ readiness: EventCounter.Readiness) {
        self = .ready(
            readable: readiness.contains(.readable), writable: readiness.contains(.writable),
            error: readiness.contains(.overflown))
    }
}
