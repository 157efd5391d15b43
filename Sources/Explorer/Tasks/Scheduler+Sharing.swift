// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// What jobs share, for the reduction.
//
// By default a step of a task conflicts with every other step of a task or a thread: it may have
// touched anything. Of several steps of references in a row only the last does. Where the program
// declares that its jobs share nothing else, a step touches its task, the actor it runs on, the
// tasks that it queues, cancels, completes or asks for their value, and Substrate's objects. What
// it does on the way to the next step is added as it happens.
extension Scheduler {
    var isDeclared: Bool { attention.jobs && options.reduction == .declared && mode == .exploring }

    /// Adds what the step of a task, or one beside tasks, touches apart from its object.
    func addJobs(to event: inout Event) {
        let index = Int(event.thread)
        if event.kind == .arrive {
            // Nothing else happens on the way to the actor.
            event.footprint.add(
                options.reduction == .declared
                    ? queue(of: threads[index].executor) : ObjectTable.arrivals, writes: true
            )
            if options.reduction == .sound { return }
        }
        // Where more comes of it than another of its kind, `noteSharing` adds that.
        guard attention.jobs, !event.kind.isOfReferences else { return }
        guard options.reduction == .declared else {
            // A thread that cancels does what tasks may see.
            let isThreadsOwn =
                !threads[index].isTask && event.kind != .cancel && event.kind != .records
            return event.footprint.addOrReplace(ObjectTable.jobs, writes: !isThreadsOwn)
        }
        event.footprint.addOrReplace(ObjectTable.jobs, writes: false)
        if event.kind == .cancel || event.kind == .records {
            // Of a task that is not known it may be any.
            if event.step.other < 0 { return event.footprint.set(ObjectTable.jobs, writes: true) }
            share(threads[event.step.other].taskObject, &event)
        }
        guard threads[index].isTask else { return }
        share(threads[index].taskObject, &event)
        if event.kind == .job, threads[index].place != .pool {
            share(actor(threads[index].executor), &event)
        }
    }

    /// The running thread does something to tasks on the way to its next step, or takes a step of
    /// another kind. If its last step was one of references, jobs conflict with it from here on.
    @inline(__always)
    func noteSharing() {
        if lastEvent.kind.isOfReferences { shareReferences() }
    }

    @inline(never)
    private func shareReferences() {
        // A thread that has just been started runs as a part of the step that started it.
        guard attention.jobs, current >= 0 else { return }
        let writes = threads[current].isTask || threads[lastEvent.thread].isTask
        amend { $0.footprint.addOrReplace(ObjectTable.jobs, writes: writes) }
    }

    /// The step touches the clock too, as it turned out.
    func addClock(to event: inout Event, writes: Bool) {
        guard !event.footprint.addIfRoom(ObjectTable.clock, writes: writes) else { return }
        event.footprint.addOrReplace(ObjectTable.jobs, writes: true)
    }

    /// The object that stands for an actor: for the main one where it is not a default actor.
    private func actor(_ executor: UInt) -> Int32 {
        JobCapture.isMain(executor) ? ObjectTable.mainActor : object(at: executor)
    }

    /// The object that stands for the order in its queue.
    private func queue(of executor: UInt) -> Int32 { objects.companion(of: actor(executor), 4) }

    /// `event` touches `object`; where there is no room to say so, everything.
    private func share(_ object: Int32, _ event: inout Event) {
        guard object >= 0 else { return }
        if !event.footprint.addIfRoom(object, writes: true) {
            event.footprint.set(ObjectTable.jobs, writes: true)
        }
    }

    /// The last step touches `object`, as it turned out.
    func amendShared(_ object: Int32) { amend { share(object, &$0) } }

    /// The last step has put `thread` into the queue of an executor.
    func noteArrival(of thread: Int32) {
        amendShared(threads[thread].taskObject)
        if threads[thread].executor != 0 {
            amendShared(queue(of: threads[thread].executor))
        }
    }

    /// `thread` has completed: the order in which the tasks of a group complete shows.
    func noteCompletion(of thread: Int32) {
        let parent = threads[thread].parent
        if parent >= 0, threads[parent].isTask { amendShared(threads[parent].taskObject) }
    }
}
