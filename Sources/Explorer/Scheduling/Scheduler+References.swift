// SPDX-License-Identifier: Apache-2.0

import CInstrumentation
import Substrate

// References: which thread gives up the last one.
extension Scheduler {
    /// Calls `body` with the references of this thread's fibers watched, and what they call that is
    /// not Substrate's.
    func watchingRuntime<Result>(_ body: () -> Result) -> Result {
        unsafe quiesce_foreign_begin { observer, function in
            unsafe Scheduler.watching(observer) {
                $0.metForeign(unsafe String(cString: function))
            }
        }
        defer { quiesce_foreign_end() }
        guard options.watchesReferences else { return body() }
        // Where not all jobs of tasks are seen, their releases are not seen either.
        guard seesAll else { return references.notWatching(body) }
        return references.watching(for: self, body)
    }

    /// The program synchronizes by other means than Substrate's, which nobody sees.
    private func metForeign(_ function: String) {
        guard foreign == nil, mode == .exploring || mode == .finishing else { return }
        foreign = ForeignCall(function: function, frames: callers())
    }

    /// The running thread is about to give up `count` references to an object of a type that
    /// matters.
    func releases(_ object: UInt, _ count: UInt32, _ place: UInt) {
        guard seesReferences else { return }
        let number = self.object(at: Self.key(of: object))
        let weak = weakObject(of: object)
        step(.release, number, References.type(of: object), place) {
            let isLast = References.isLast(object, count)
            if isLast {
                // What is found there next is another object.
                objects.forget(Self.key(of: object))
                let side = References.weak(of: object)
                if side != 0 { references[side]?.hasEnded = true }
            }
            return (isLast, weak, "")
        }
        if attention.races { sync.update(current, number, .acquiringAndReleasing) }
    }

    /// The running thread is about to ask whether a reference is the only one.
    func asksForOnly(_ object: UInt, _ place: UInt) {
        guard seesReferences else { return }
        let type = References.type(of: object)
        guard references.matters(type) else {
            // What the standard library does with the answer is the same either way.
            if let name = References.name(ofType: type), !name.hasPrefix("Swift.") {
                noteLoaded(type)
            } else {
                references.isOrdinary(type)
            }
            return
        }
        let number = self.object(at: Self.key(of: object))
        step(.askReferences, number, type, place) {
            (true, -1, References.isLast(object, 1) ? "once" : "more than once")
        }
        if attention.races { sync.update(current, number, .acquiringAndReleasing) }
    }

    /// The running thread is about to load a weak reference, of those that `weak` stands for.
    func loadsWeak(_ weak: UInt, _ place: UInt) {
        guard seesReferences else { return }
        let object = References.object(of: weak)
        if object == 0, references[weak] == nil { return }
        let type = object == 0 ? references[weak]!.type : References.type(of: object)
        guard references.matters(type) else { return noteLoaded(type) }
        let number =
            object == 0 ? self.object(at: Self.key(of: weak)) : weakObject(of: object)
        step(.loadReference, number, type, place) {
            (false, -1, References.object(of: weak) == 0 ? "nil" : "it")
        }
        if attention.races { sync.load(current, number, .acquiring) }
    }

    /// The running thread is about to load an unowned reference.
    func loadsUnowned(_ object: UInt, _ place: UInt) {
        guard seesReferences else { return }
        let type = References.type(of: object)
        guard references.matters(type) else { return noteLoaded(type) }
        step(.loadReference, self.object(at: Self.key(of: object)), type, place) {
            (false, -1, "it")
        }
    }

    /// The last reference to an object with weak references is about to be given up.
    func losesWeak(_ weak: UInt, _ type: UInt) {
        guard seesReferences, references[weak] == nil else { return }
        references[weak] = References.WeakOne(type: type, hasEnded: true)
    }

    /// On the running thread, after steps that were taken since its end began.
    func objectHasEnded(_ end: quiesce_end) {
        if seesReferences { noteSteps(of: end, on: current) }
    }

    /// An execution is over: what has not got to its end may be waiting in a `deinit`.
    func noteOpenEnds() {
        let ends = unsafe references.openEnds
        for index in ends.indices {
            let end = unsafe ends[index]
            guard let thread = thread(of: end) else { continue }
            noteSteps(of: end, on: thread)
            if threads[thread].state == .parked, threads[thread].object >= 0,
                objects.isLive(threads[thread].object)
            {
                note(end.type)
            }
        }
    }

    /// On whose stack the end runs.
    private func thread(of end: quiesce_end) -> Int32? {
        for index in 0..<threads.started.count {
            let thread = threads.started[index]
            if threads[thread].fiber?.contains(end.stack) == true { return thread }
        }
        return nil
    }

    /// If the end has taken a step, it matters on which thread it runs. (A `deinit` is no job: one
    /// that begins was none of its doing.)
    private func noteSteps(of end: quiesce_end, on thread: Int32) {
        guard !references.matters(end.type) else { return }
        if end.is_visible { return note(end.type) }
        guard keepsHistory else { return }
        let first = Int(end.steps)
        for position in first..<max(first, min(steps, history.count))
        where history[position].thread == thread && history[position].kind != .job
            && isVisible(history.footprint(position))
        {
            return note(end.type)
        }
    }

    /// A step has happened of which no history is kept.
    func lookForEnds(_ event: Event) {
        // Nothing here gives up a reference, which might move them.
        let ends = unsafe references.openEnds
        guard event.kind != .job, !ends.isEmpty else { return }
        for index in ends.indices {
            let end = unsafe ends[index]
            if thread(of: end) == event.thread, isVisible(event.footprint) {
                unsafe ends[index].is_visible = true
            }
        }
    }

    /// Whether a step touches anything. A part of the object that ends counts too: others touched
    /// it while they had references, and a sequence with the step must not come before they gave
    /// them up.
    private func isVisible(_ footprint: Footprint) -> Bool {
        (0..<Int(footprint.count)).contains { objects.isLive(footprint.object($0)) }
    }

    /// A reference of an uncommon kind to an object of this type was used. (Within the library that
    /// follows from operations that are steps.)
    private func noteLoaded(_ type: UInt) {
        // The runtime has objects of its own that it refers to so, as errors.
        guard let name = References.name(ofType: type) else { return references.isOrdinary(type) }
        if name.hasPrefix("Substrate.") || name.hasPrefix("Quiesce.") {
            references.isOrdinary(type)
        } else {
            note(type)
        }
    }

    /// From the next execution on it matters which thread ends an object of this
    /// type.
    private func note(_ type: UInt) {
        guard mode == .exploring || mode == .finishing, !wanted.steps.types.all.contains(type)
        else {
            return
        }
        // The explorer's own are none of the program's.
        if References.name(ofType: type)?.hasPrefix("Explorer.") == true { return }
        wanted.steps.types = wanted.steps.types.adding(type)
    }

    private var seesReferences: Bool {
        (mode == .exploring || mode == .finishing) && current >= 0
    }

    /// Where no other object can be: its word of counts.
    private static func key(of object: UInt) -> UInt { object + 8 }

    /// The number of what stands for the weak references to `object`, -1 while there is none.
    private func weakObject(of object: UInt) -> Int32 {
        let weak = References.weak(of: object)
        guard weak != 0 else { return -1 }
        // The runtime has used it again.
        if references[weak]?.hasEnded == true { objects.forget(Self.key(of: weak)) }
        if references[weak] == nil || references[weak]!.hasEnded {
            references[weak] = References.WeakOne(type: References.type(of: object))
        }
        return self.object(at: Self.key(of: weak))
    }

    /// A step on an object's references, of which `look` tells, once it is taken, whether it
    /// conflicts with the others of its kind, what else it touches, and what it found.
    private func step(
        _ kind: StepKind, _ object: Int32, _ type: UInt, _ place: UInt,
        _ look: () -> (isExclusive: Bool, other: Int32, found: String)
    ) {
        if joinOperation() {
            let (isExclusive, other, _) = look()
            touch(object, writes: isExclusive)
            if other >= 0 { touch(other, writes: isExclusive) }
            return
        }
        guard mode != .draining else { return }
        let thread = current
        threads[thread].kind = kind
        threads[thread].object = object
        threads[thread].other = -1
        if recorder != nil, names[object] == nil {
            names.number(object, as: References.description(ofType: type))
        }
        park(thread)
        guard mode != .draining else { return }
        let (isExclusive, other, found) = look()
        var event = Event(threads[thread].step(of: thread))
        touch(object, writes: isExclusive || kind == .release, &event.footprint)
        if other >= 0 { event.footprint.add(other, writes: true) }
        event.traits.set(.silent, !isExclusive)
        commit(event, site: Site("", 0))
        if recorder != nil {
            recorder!.describe(old: "", new: found)
            recorder!.setPlace(Symbolizer.place(of: [place], isReturn: true))
        }
    }
}
