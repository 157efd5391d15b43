// SPDX-License-Identifier: Apache-2.0

extension Exploration {
    /// Makes an expectation of another library, which failed on the calling thread, the verdict of
    /// the execution that the thread belongs to. False when the execution has failed before.
    package static func noteFailedExpectation(path: String, line: Int, _ message: () -> String)
        -> Bool
    {
        guard let scheduler = Scheduler.watchingThisThread, scheduler.verdict == nil else {
            return false
        }
        scheduler.failExpectation(message(), CodePlace(function: "", path: path, line: UInt(line)))
        return true
    }

    /// Whether the calling thread belongs to an exploration.
    package static var isRunningHere: Bool { Scheduler.watchingThisThread != nil }
}
