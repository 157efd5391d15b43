// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// What jobs share, for the reduction.
//
// By default a step of a task conflicts with every other step of a task or a thread: it may have touched anything. Where the program
// declares that its jobs share nothing else, a step touches its task, the actor it runs on, the tasks that it queues, cancels,
// completes or asks for their value, and Substrate's objects. What it does on the way to the next step is added as it happens.
extension Scheduler {
    var isDeclared: Bool { tracksJobs && options.reduction == .declared && mode == .exploring }

    /// Adds what the step of a task, or one beside tasks, touches apart from its object.
    func addJobs(to event: inout Event) {
        let index = Int(event.thread)
        guard options.reduction == .declared else {
            return event.footprint.add(ObjectTable.jobs, writes: threads[index].isTask)
        }
        event.footprint.add(ObjectTable.jobs, writes: false)
        guard threads[index].isTask else { return }
        share(threads[index].taskObject, &event)
        guard event.kind == .job else { return }
        switch threads[index].place {
        case .pool: break
        case .main: share(ObjectTable.mainActor, &event)
        case .actor: share(object(at: threads[index].actor), &event)
        }
    }

    /// `event` touches `object`; where there is no room to say so, everything.
    private func share(_ object: Int32, _ event: inout Event) {
        guard object >= 0 else { return }
        if !event.footprint.addIfRoom(object, writes: true) { event.footprint.set(ObjectTable.jobs, writes: true) }
    }

    /// The last step touches `object`, as it turned out.
    func amendShared(_ object: Int32) { amend { share(object, &$0) } }

    /// The last step has put `thread` into the queue of an executor.
    func noteArrival(of thread: Int32, at place: ThreadRecord.Place) {
        guard isDeclared else { return }
        // It is in no actor's queue then.
        for index in 0..<jobs.arrivals.count where jobs.arrivals[index] == thread { jobs.arrivals[index] = -1 }
        amendShared(threads[Int(thread)].taskObject)
        if place == .main { amendShared(ObjectTable.mainActor) }
    }

    /// `thread` is served by the default actor whose queue this fiber sees to.
    func noteActor(of thread: Int32, isFirst: Bool) {
        let actor = unsafe UInt(bitPattern: quiesce_jobs_executor())
        threads[Int(thread)].actor = actor
        guard isFirst else { return }
        jobs.busyActors.append(actor)
        // Whoever found the actor idle has just put it there.
        for index in 0..<jobs.arrivals.count where jobs.arrivals[index] == thread {
            jobs.arrivals[index] = -1
            amendShared(threads[Int(thread)].taskObject)
            amendShared(object(at: actor))
        }
        settleArrivals()
    }

    /// Finds out to which actors the last step has sent tasks: those that are busy keep them in their queues.
    func settleArrivals() {
        for index in 0..<jobs.arrivals.count where jobs.arrivals[index] >= 0 {
            let thread = jobs.arrivals[index]
            amendShared(threads[Int(thread)].taskObject)
            let job = unsafe UnsafeRawPointer(bitPattern: threads[Int(thread)].job)!
            var isFound = false
            for busy in 0..<jobs.busyActors.count where !isFound {
                let actor = unsafe UnsafeRawPointer(bitPattern: jobs.busyActors[busy])!
                if unsafe quiesce_jobs_is_new_to(job, actor) {
                    isFound = true
                    amendShared(object(at: jobs.busyActors[busy]))
                }
            }
            if !isFound { amend { $0.footprint.set(ObjectTable.jobs, writes: true) } }
        }
        jobs.arrivals.removeAll()
    }

    /// `thread` has completed: whoever awaits it may see that, and in what order the tasks of a group do.
    func noteCompletion(of thread: Int32) {
        amendShared(threads[Int(thread)].taskObject)
        let parent = threads[Int(thread)].parent
        if parent >= 0, threads[Int(parent)].isTask { amendShared(threads[Int(parent)].taskObject) }
    }
}
