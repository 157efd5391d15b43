// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// A mistake in one operation of the program under test: a test that explores it must notice.
///
/// The program stays as it is; the operation is changed when it reaches the explorer. It is told by
/// its file and by what stands on its line, so that a mutation keeps its place while the code
/// around it changes.
public struct Mutation: Sendable, CustomStringConvertible {
    /// What becomes of the operation.
    public enum Effect: Sendable, Equatable {
        /// It does not happen. An update says that it did; a lock neither locks nor unlocks.
        case skipped
        /// It declares no order.
        case relaxed
        /// A load sees this instead of the value.
        case sees(UInt64)
        /// A compare-exchange exchanges whatever it finds.
        case unconditional
        /// A store waits in the thread's store buffer, as if the barrier behind it were missing.
        case buffered
    }

    public let file: String
    public let code: String
    public let effect: Effect
    /// The kind of operation, where a line has several; nil for all of them.
    public let kind: OperationKind?

    /// - Parameters:
    ///   - file: the name of the source file.
    ///   - code: a part of the line on which the operation's call begins.
    ///   - kind: the kind of operation, where the line has several.
    public init(_ file: String, _ code: String, _ effect: Effect, of kind: OperationKind? = nil) {
        self.file = file
        self.code = code
        self.kind = kind
        self.effect = effect
    }

    public var description: String { "\(file): \(code)\(kind.map { " (\($0))" } ?? "") \(effect)" }
}

/// A mutation at work: which operations it meets.
final class Mutant {
    let mutation: Mutation
    private(set) var hits = 0
    private var known: [Site: Bool] = [:]

    init(_ mutation: Mutation) { self.mutation = mutation }

    /// The effect on an operation, if it has one.
    func effect(on operation: OperationKind, _ site: Site) -> Mutation.Effect? {
        if let kind = mutation.kind, kind != operation { return nil }
        guard site.line > 0 else { return nil }
        let isMet =
            known[site]
            ?? (SourceFile.name(site.file) == mutation.file
                && SourceFile.line(site.line, of: site.file)?.contains(mutation.code) == true)
        known[site] = isMet
        guard isMet else { return nil }
        hits += 1
        return mutation.effect
    }
}
