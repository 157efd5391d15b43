// SPDX-License-Identifier: Apache-2.0

import CSubstrate

// What tasks are called, and where they are.
extension Scheduler {
    /// A task's name: its own, else where it was created.
    func taskName(_ job: UInt, _ thread: Int32) -> String {
        if threads.started.count == 1 { return "main" }
        if let name = unsafe quiesce_jobs_name(UnsafeMutableRawPointer(bitPattern: job)!) {
            return unsafe String(cString: name)
        }
        guard recorder != nil, let place = placeOfCreation() else {
            return "task \(threads.started.count - 1)"
        }
        let name = place.short
        let same = threads.names.count { $0 == name || $0.hasPrefix(name + " #") }
        return same == 0 ? name : "\(name) #\(same + 1)"
    }

    /// What the actor is called whose executor this is.
    func nameOfExecutor(_ executor: UInt) -> String {
        if JobCapture.isMain(executor) { return "MainActor" }
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: executor) else { return "the pool" }
        let object = unsafe Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue()
        return "\(type(of: object))"
    }

    /// Says in the trace what the running step does to a task.
    func noteTask(_ what: String, _ thread: Int32) {
        guard let recorder, mode == .exploring, current >= 0 else { return }
        recorder.note(thread: current, .note("\(what) \(name(ofThread: thread))"), site: nil)
    }

    /// The line of the program that creates a task right now.
    private func placeOfCreation() -> CodePlace? {
        Symbolizer.place(of: callers(), isReturn: true)
    }

    /// The functions that the running thread is in, innermost first.
    func callers() -> [UInt] {
        var frames = [UInt](repeating: 0, count: 40)
        let count = unsafe frames.withUnsafeMutableBufferPointer {
            unsafe quiesce_backtrace($0.baseAddress!, Int32($0.count))
        }
        return Array(frames.prefix(Int(count)))
    }

    /// Where a suspended task goes on.
    func placeOfTask(_ thread: Int32) -> CodePlace? {
        recorder == nil ? nil : Symbolizer.place(of: framesOfTask(thread), isReturn: false)
    }

    /// The functions in which a task goes on, innermost first.
    func framesOfTask(_ thread: Int32) -> [UInt] {
        guard seesAll, !threads[thread].isOneShot, threads[thread].standing != .completed
        else { return [] }
        var frames = [UInt](repeating: 0, count: 12)
        let count = unsafe frames.withUnsafeMutableBufferPointer {
            unsafe quiesce_inbox_frames(
                UnsafeMutableRawPointer(bitPattern: threads[thread].job)!, $0.baseAddress!,
                Int32($0.count))
        }
        return Array(frames.prefix(Int(count)))
    }
}
