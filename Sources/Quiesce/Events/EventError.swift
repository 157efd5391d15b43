// SPDX-License-Identifier: Apache-2.0

/// Why an operation on an event did nothing.
public enum EventError: Error, Sendable, Equatable, CustomStringConvertible {
    /// It was called from inside a callback of an event, where signalling is refused.
    case insideCallback
    /// The event has hung up, and there is nothing to take, or to be told of.
    case hungUp
    /// The value cannot be added: it is the one that stands for an overflow.
    case invalidValue
    /// The deadline passed. For a detach it names the callback that is running.
    case timedOut(running: String?)
    /// The task was cancelled while it waited.
    case cancelled
    /// The system refused, with this error number.
    case refused(Int32)

    public var description: String {
        switch self {
        case .insideCallback:
            "an event was signalled from inside a callback of an event, which is refused"
        case .hungUp: "the event has hung up"
        case .invalidValue: "\(UInt64.max) cannot be added to an event: it stands for an overflow"
        case .timedOut(nil): "the event was waited for in vain until the deadline"
        case .timedOut(let running?):
            "the notifier is not detached yet: its callback runs on \(running)"
        case .cancelled: "waiting for the event was cancelled"
        case .refused(let number): "the system refused the event, with error number \(number)"
        }
    }

    init(_ ending: Waiter.Ending) {
        switch ending {
        case .cancelled: self = .cancelled
        case .closed: self = .hungUp
        default: self = .timedOut(running: nil)
        }
    }
}
