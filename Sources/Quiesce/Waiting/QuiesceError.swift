// SPDX-License-Identifier: Apache-2.0

/// Why an operation did nothing, or why a wait ended without what it waited for.
///
/// Every type of this module throws this type. An `async` wait whose task is cancelled throws
/// `CancellationError` instead.
public enum QuiesceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The caller is inside the object, or runs on it, and would wait for itself. Nothing has
    /// changed. `item` is the work item that the caller is the function of.
    case inside(of: String, item: String? = nil)
    /// The deadline passed. `occupants` are those whom the wait was for; `pending` counts the work
    /// items that have not started.
    case timedOut(of: String, occupants: [Occupant], pending: Int = 0)
    /// The object is closed, or is being closed.
    case closed(String)
    /// An event was signalled from inside a callback of an event.
    case insideCallback
    /// `UInt64.max` cannot be added to an event: it stands for an overflow.
    case invalidValue
    /// Releases of resources failed, those of this object; all others took place. Where acquiring
    /// failed first, its error comes first.
    case releasesFailed(of: String, [ReleaseFailure])
    /// What was declared of these would go round in a circle.
    case cycle(String)
    /// There is one of this name, or under this key, already.
    case exists(String)
    /// The device is gone, or has no driver any more; the operation did nothing. Both ENXIO and
    /// ENODEV of the kernel.
    case noDevice(of: String, operation: String)
    /// Others have it, or it is bound already; the operation did nothing.
    case busy(of: String, operation: String)
    /// Nothing came before that the operation could take back.
    case unbalanced(of: String, operation: String)
    /// The system refused, with this error number.
    case refused(errorNumber: Int32)

    public var description: String {
        switch self {
        case .inside(let object, nil):
            "\(object) was closed from inside, which would wait for itself; leave first, or use closeFromInside()"
        case .inside(let object, let item?):
            "\(item), which runs on \(object), would wait for itself to end"
        case .timedOut(let object, let occupants, let pending):
            "the wait for \(object) was not over in time"
                + (occupants.isEmpty && pending == 0 ? "" : ": ")
                + (occupants.map(\.description) + (pending == 0 ? [] : ["\(pending) pending"]))
                .joined(separator: "; ")
        case .closed(let object): "\(object) is closed"
        case .insideCallback:
            "an event was signalled from inside a callback of an event, which is refused"
        case .invalidValue: "\(UInt64.max) cannot be added to an event: it stands for an overflow"
        case .releasesFailed(let object, let failures):
            "\(object) was released, and not all went well: "
                + failures.map(\.description).joined(separator: "; ")
        case .cycle(let what): "\(what): that would go round in a circle"
        case .exists(let name): "\(name) exists already"
        case .noDevice(let device, let operation):
            "\(device) is gone, and so \(operation) did nothing"
        case .busy(let device, let operation):
            "\(device) is in use, and so \(operation) did nothing"
        case .unbalanced(let device, let operation):
            "\(device): \(operation) came once too often, and did nothing"
        case .refused(let number): "the system refused the operation, with error number \(number)"
        }
    }
}

/// A release that threw an error.
public struct ReleaseFailure: Sendable, Equatable, CustomStringConvertible {
    /// What was to be released.
    public let resource: String
    public let error: any Error

    package init(_ resource: String, _ error: any Error) {
        self.resource = resource
        self.error = error
    }

    /// What is not released, as `error` came in between.
    package static func rest(_ error: any Error) -> ReleaseFailure {
        ReleaseFailure(restName, error)
    }

    /// Whether this says that there is something left.
    package var isRest: Bool { resource == Self.restName }

    private static let restName = "what is left"

    public var description: String { "\(resource): \(error)" }

    /// Failures are equal that read alike: errors in general cannot be compared.
    public static func == (one: ReleaseFailure, other: ReleaseFailure) -> Bool {
        one.description == other.description
    }
}
