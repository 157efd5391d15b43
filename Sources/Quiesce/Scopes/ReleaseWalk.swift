// SPDX-License-Identifier: Apache-2.0

/// One walk over resources of a scope that are to be released, last in, first out, and what it has
/// come to.
struct ReleaseWalk: Sendable {
    /// The resources, the first to go at the end; nil for all of the phases.
    var numbers: [UInt64]?
    var phase = ResourceList.Phase.registrations
    /// The phases before this one are walked over.
    let endPhase: ResourceList.Phase
    /// All of the phase that is left lies before this number.
    var end: UInt64
    /// What was added later is none of its business.
    let limit: UInt64

    /// The resource whose release it has begun last, and what releases it.
    var begun: UInt64 = 0
    var content: ResourceList.Content?
    /// Whether that release has ended and the list does not know it; and what it threw.
    var hasEnded = false
    var error: (any Error)?

    /// How many releases it has run.
    var count = 0
    var failures: [ReleaseFailure] = []

    /// A walk over all of the phases before `phase` with smaller numbers than `limit`.
    init(upTo phase: ResourceList.Phase, limit: UInt64) {
        endPhase = phase
        self.limit = limit
        end = limit
    }

    init(over numbers: [UInt64]) {
        self.init(upTo: .over, limit: 0)
        self.numbers = numbers
    }

    /// The error to throw when `error` ends the walk: it has the failures of earlier releases too.
    /// Nil where there were none.
    func ending(of scope: String, with error: any Error) -> QuiesceError? {
        guard !failures.isEmpty else { return nil }
        return .releasesFailed(of: scope, failures + [.rest(error)])
    }

    func result(of scope: String) throws(QuiesceError) -> Int {
        guard failures.isEmpty else { throw .releasesFailed(of: scope, failures) }
        return count
    }
}
