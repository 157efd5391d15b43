// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A mistake of the program that was survived, and that somebody should know of.
///
/// While explored it is the finding of the execution. Otherwise it is written to standard error,
/// each kind once for each culprit and place. Kernel counterpart: `WARN_ONCE`.
public struct Misuse: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// A reference was taken to an object whose last one is gone.
        case raisedFromZero
        /// A count was raised above its maximum, or after it had saturated.
        case overflow
        /// More references were given back than were taken.
        case lowTooOften
        /// The last reference was given back by code that said that it was not the last.
        case lastDropped
        /// A work item was enabled that was not disabled.
        case enabledTooOften
        /// A work item was disabled more often than can be counted.
        case disabledTooOften
        /// An ordered work queue was to run several items at a time.
        case limitOfOrdered
        /// A work queue is drained whose items enqueue others again and again.
        case longDrain
        /// A work item's function returned inside a gate.
        case returnedInside
    }

    public let kind: Kind
    /// What did it, where the place does not tell.
    public let culprit: String?
    /// The place that did it, or that found it.
    public let file: String
    public let line: UInt

    public var description: String {
        let what =
            switch kind {
            case .raisedFromZero:
                "a reference was taken to an object whose last reference is gone (use after free)"
            case .overflow: "a reference count overflowed; it is saturated and its object will leak"
            case .lowTooOften: "a reference was given back that was not there (use after free)"
            case .lastDropped:
                "the last reference was dropped where it could not be the last; its object will leak"
            case .enabledTooOften: "a work item was enabled that was not disabled"
            case .disabledTooOften:
                "a work item was disabled too often to be counted; it stays at the most"
            case .limitOfOrdered:
                "an ordered work queue was told to run several items at a time; it stays at one"
            case .longDrain:
                "a work queue is drained, and its items enqueue more and more; the drain may not end"
            case .returnedInside:
                "a work item's function returned inside a gate, whose close() would wait for ever"
            }
        return "\(what)\(culprit.map { ": \($0)" } ?? ""), at \(file):\(line)"
    }

    /// Runs `body` and returns what was misused by this thread meanwhile, which is then reported
    /// nowhere else.
    public static func collecting(_ body: () throws -> Void) rethrows -> [Misuse] {
        let outer = collected.withValue { value in
            defer { value = [] }
            return value
        }
        defer { collected.withValue { $0 = outer } }
        try body()
        return collected.withValue { $0 ?? [] }
    }

    static let collected = ThreadLocal<[Misuse]?>(nil)

    static func report(_ kind: Kind, _ file: StaticString, _ line: UInt, by culprit: String? = nil)
    {
        let path = "\(file)"
        let misuse = Misuse(
            kind: kind, culprit: culprit,
            file: path.split(separator: "/").last.map(String.init) ?? path, line: line)
        let isCollected = collected.withValue { value in
            value?.append(misuse)
            return value != nil
        }
        if isCollected || reportMisuse(misuse.description, file: file, line: line) { return }
        World.current.value(MisuseLog.key) { MisuseLog() }.note(misuse)
    }
}

/// What a world's standard error has been told.
///
/// A forked child begins another: the process has told nothing yet, and a thread of its parent may
/// have been changing this one.
final class MisuseLog: Sendable, ServiceThread.Owner {
    static let key = WorldKey<MisuseLog>()

    private struct Place: Hashable {
        let kind: Misuse.Kind
        let culprit: String?
        let file: String
        let line: UInt
    }

    private let known = Mutex<Set<Place>>([])

    func note(_ misuse: Misuse) {
        let isNew = known.withLock {
            $0.insert(
                Place(
                    kind: misuse.kind, culprit: misuse.culprit, file: misuse.file, line: misuse.line
                )
            ).inserted
        }
        if isNew { warn(misuse.description) }
    }
}
