// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// From the state of an execution to a sentence.
extension Scheduler {
    func failExpectation(_ message: String, _ site: Site) {
        let place = "\(SourceFile.name(site.file)):\(site.line)"
        let who =
            mode == .afterwards ? "after every thread had ended" : "in \(name(ofThread: current))"
        recorder?.note(thread: current, .note("✗ expectation"), site: site)
        fail(
            .expectation,
            message.isEmpty
                ? "an expectation failed \(who), at \(place)" : "\(message) (\(who), \(place))",
            steps: mode == .afterwards ? [] : recorder.map { [$0.count - 1] } ?? [])
    }

    /// As above, for an expectation of another library's.
    func failExpectation(_ message: String, _ place: CodePlace) {
        recorder?.note(thread: current, .note("✗ expectation"), site: nil)
        recorder?.setPlace(place)
        fail(
            .expectation,
            "\(message) (in \(name(ofThread: current)), \(place.fileName):\(place.line))",
            steps: recorder.map { [$0.count - 1] } ?? [])
    }

    func failThrown(_ error: any Error) {
        fail(
            .expectation, "the explored closure threw: \(error)",
            steps: recorder.map { [$0.count - 1] } ?? [])
    }

    /// The verdict that follows from how the execution ended.
    func judge() {
        switch outcome {
        case .complete, .blocked: return
        case .cut:
            guard divergence == nil else { return }
            let busiest = (0..<Int(threads.count)).filter { threads[$0].state == .parked }.map {
                threads.names[$0]
            }
            verdict = Verdict(
                .stepLimit,
                "the execution was cut after \(options.stepLimit) steps"
                    + (busiest.isEmpty ? "" : "; still running: \(busiest.joined(separator: ", "))")
                    + ". A loop that waits must say so with spin(while:) or a wait")
        case .deadlocked: verdict = deadlockVerdict()
        }
    }

    func judgeForeignUse() {
        foreignUses.store(0, ordering: .relaxed)
        verdict = Verdict(
            .misuse,
            "a thread that the explorer does not run used the explored world; only the threads and tasks of the exploration can"
        )
    }
}
