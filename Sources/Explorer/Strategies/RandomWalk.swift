// SPDX-License-Identifier: Apache-2.0

/// Executions in which each step is picked at random among those that are possible.
final class RandomWalk: Strategy, Resumable {
    private let executions: Int
    private var done = 0
    private let seed: UInt64
    private var bits: UInt64
    private let enabled = Stack<Int32>(capacity: 64)

    init(_ scheduler: Scheduler, executions: Int, seed: UInt64) {
        self.executions = executions
        self.seed = seed
        bits = seed
        super.init(scheduler)
    }

    override var isSearch: Bool { false }

    override func beginExecution() {
        // Each execution has a stream of its own, so that it can be run again.
        bits = seed &+ UInt64(done) &* 0x9E37_79B9_7F4A_7C15
    }

    override func choose() -> Decision {
        enabled.removeAll()
        for thread in 0..<scheduler.threads.count where scheduler.isEnabled(thread) {
            enabled.append(thread)
        }
        guard !enabled.isEmpty else { return .nobody }
        let thread = enabled[random(below: enabled.count)]
        let waiters = scheduler.choices(of: thread)
        guard waiters != 0 else { return Decision(thread: thread) }
        let choices = (0..<64).filter { waiters & (1 << UInt64($0)) != 0 }
        return Decision(thread: thread, choice: Int32(choices[random(below: choices.count)]))
    }

    override func endExecution(_ outcome: Outcome) -> Bool {
        done += 1
        return done < executions
    }

    // MARK: Resuming

    var state: SearchState { .random(done: done) }

    func resume(from state: SearchState) -> Bool {
        guard case .random(let done) = state else { return false }
        self.done = done
        return true
    }

    func misfit() -> Divergence? { nil }

    var explored: Double { Double(done) / Double(max(executions, 1)) }

    /// SplitMix64.
    private func random(below count: Int) -> Int {
        bits &+= 0x9E37_79B9_7F4A_7C15
        var mixed = bits
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ mixed >> 31) % UInt64(count))
    }
}
