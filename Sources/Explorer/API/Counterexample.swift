// SPDX-License-Identifier: Apache-2.0

/// A failure: what went wrong, the schedule that shows it, and how to see it again.
public struct Counterexample: Sendable {
    public let verdict: Verdict
    public internal(set) var trace: Trace
    public let token: ReplayToken
}
