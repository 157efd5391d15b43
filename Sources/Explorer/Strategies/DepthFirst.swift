// SPDX-License-Identifier: Apache-2.0

/// Every interleaving, or every one with at most a number of preemptions, without reduction.
///
/// A preemption is a switch away from a thread that could have gone on. Sleep sets together with
/// such a bound would be unsound, so there are none.
class DepthFirst: Strategy {
    struct Frame: Codable {
        var candidates: [Decision]
        var next: Int
        /// Preemptions before this step, and the thread that another step preempts; -1 when it
        /// could not go on.
        var preemptions: Int
        var preempted: Int32
    }

    private let bound: Int
    private var frames: [Frame] = []
    private var position = 0
    /// Whether the bound kept anything out.
    private(set) var isBounded = false
    private var isResumed = false

    init(_ scheduler: Scheduler, preemptions bound: Int = .max) {
        self.bound = bound
        super.init(scheduler)
    }

    override func beginExecution() {
        position = 0
    }

    override func choose() -> Decision {
        if position == frames.count {
            let used = frames.last.map(preemptions(after:)) ?? 0
            let candidates = enumerate(used)
            if candidates.isEmpty { return .nobody }
            let current = scheduler.current
            let goesOn = current >= 0 && scheduler.isEnabled(current)
            frames.append(
                Frame(
                    candidates: candidates, next: 0, preemptions: used,
                    preempted: goesOn ? current : -1))
        }
        let frame = frames[position]
        // The program may be another than the one that the search was begun with.
        if isResumed, !scheduler.isEnabled(frame.candidates[frame.next].thread) { return .nobody }
        position += 1
        return frame.candidates[frame.next]
    }

    private func preemptions(after frame: Frame) -> Int {
        let thread = frame.candidates[frame.next].thread
        let isPreemption =
            frame.preempted >= 0 && thread != frame.preempted
            && !scheduler.threads[thread].isBuffer
        return frame.preemptions + (isPreemption ? 1 : 0)
    }

    private func enumerate(_ used: Int) -> [Decision] {
        var result: [Decision] = []
        let current = scheduler.current
        let goesOn = current >= 0 && scheduler.isEnabled(current)
        if goesOn { append(current, to: &result) }
        for thread in 0..<scheduler.threads.count
        where thread != current && scheduler.isEnabled(thread) {
            if goesOn, used >= bound, !scheduler.threads[thread].isBuffer {
                isBounded = true
                continue
            }
            append(thread, to: &result)
        }
        return result
    }

    private func append(_ thread: Int32, to result: inout [Decision]) {
        var waiters = scheduler.choices(of: thread)
        if waiters == 0 { return result.append(Decision(thread: thread)) }
        while waiters != 0 {
            result.append(Decision(thread: thread, choice: Int32(waiters.trailingZeroBitCount)))
            waiters &= waiters - 1
        }
    }

    override func endExecution(_ outcome: Outcome) -> Bool {
        while let frame = frames.last {
            if frame.next + 1 < frame.candidates.count {
                frames[frames.count - 1].next += 1
                return true
            }
            frames.removeLast()
        }
        return false
    }
}

extension DepthFirst: Resumable {
    struct State: Codable {
        var frames: [Frame]
        var isBounded: Bool
    }

    var state: SearchState { .depthFirst(State(frames: frames, isBounded: isBounded)) }

    func resume(from state: SearchState) -> Bool {
        guard case .depthFirst(let state) = state else { return false }
        (frames, isBounded, isResumed) = (state.frames, state.isBounded, true)
        return true
    }

    func misfit() -> Divergence? {
        guard position < frames.count else { return nil }
        return Divergence(
            step: position + 1,
            expected:
                "a step of thread \(frames[position].candidates[frames[position].next].thread)",
            found: "has ended")
    }

    var explored: Double {
        var (sum, weight) = (0.0, 1.0)
        for frame in frames {
            weight /= Double(frame.candidates.count)
            sum += weight * Double(frame.next)
        }
        return frames.isEmpty ? 1 : sum
    }
}
