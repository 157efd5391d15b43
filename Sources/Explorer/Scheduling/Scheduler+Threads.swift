// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// The lives of threads.
extension Scheduler {
    /// Starts a thread and runs it up to its first operation, so that everybody knows what it will
    /// do. The name is asked for only while threads have names.
    func spawnThread(
        name: @autoclosure () -> String, isService: Bool, _ body: @escaping @Sendable () -> Void
    ) -> Int32 {
        guard mode == .exploring || mode == .finishing else {
            fail(.misuse, "a thread was started after every thread had ended")
            return -1
        }
        guard mayStart(), mode != .draining else { return -1 }
        let parent = current
        let isWithin = joinOperation()
        guard mode != .draining else { return -1 }
        if isWithin, attention.steps.threads { touch(ObjectTable.threads, writes: true) }
        if threads[parent].isAsymmetric, !isWithin {
            // Starting a thread is a full barrier.
            threads[parent].kind = .fence
            park(parent)
            guard mode != .draining else { return -1 }
            commit(Event(thread: parent, kind: .fence), site: Site("", 0))
        }
        if attention.steps.threads, !isWithin {
            threads[parent].kind = .spawn
            threads[parent].object = ObjectTable.threads
            park(parent)
            guard mode != .draining else { return -1 }
            var event = Event(thread: parent, kind: .spawn)
            event.footprint.add(ObjectTable.threads, writes: true)
            commit(event, site: Site("", 0))
            recorder?.describe(old: "", new: name())
        }
        let child = startThread(name: name(), isService: isService, parent: parent, body)
        threads[child].starter = parent
        transfer(from: parent, to: child)
        return child
    }

    /// Makes a thread known, parked before its first instruction.
    func startThread(
        name: @autoclosure () -> String, isService: Bool, parent: Int32,
        _ body: @escaping @Sendable () -> Void
    ) -> Int32 {
        let thread = threads.start(by: parent)
        if attention.names { threads.names[Int(thread)] = name() }
        threads[thread].state = .parked
        threads[thread].isService = isService
        threads[thread].origin = parent >= 0 ? lastPosition(of: parent) : -1
        threads[thread].kind = .touch
        if attention.races, parent >= 0 { sync.spawn(thread, by: parent) }
        threads[thread].body.fill(body)
        let fiber = threads[thread].fiber ?? stacks.take()
        threads[thread].fiber = fiber
        fiber.prepare(self, world: world!, id: UInt32(thread) + 1)
        if jobs.lender != 0 { fiber.lend(jobs.lender) }
        return thread
    }

    /// The life of a fiber. Never returns: it is switched away from for good.
    func runBody() {
        let thread = current
        if thread < 0 || threads[thread].isTask { carryJobs() }
        if mode == .afterwards {
            for body in unsafe afterwards { body() }
            leave(thread)
        }
        threads[thread].body.run()
        endThread(thread)
        while mode == .exploring {
            // The schedule that is repeated has a further step of it.
            diverge(
                Divergence(
                    step: steps + 1, expected: "a step of \(name(ofThread: thread))",
                    found: "its end"))
            waitForTurn(thread)
        }
        fatalError("an ended thread was resumed")
    }

    private func endThread(_ thread: Int32) {
        // What it captured may end here.
        threads[thread].body.release()
        releaseLocals()
        if threads[thread].isAsymmetric, mode == .exploring || mode == .finishing {
            // A thread's end drains its store buffer, as its last step.
            threads[thread].kind = .fence
            park(thread)
            if mode != .draining { commit(Event(thread: thread, kind: .fence), site: Site("", 0)) }
        }
        threads[thread].state = .finished
        if mode == .draining { return leave(thread) }
        let starter = threads[thread].starter
        if starter >= 0 {
            threads[thread].starter = -1
            return transfer(from: thread, to: starter)
        }
        waitForTurn(thread)
    }

    func releaseLocals() {
        let block = unsafe quiesce_current_block()
        if let locals = unsafe block.pointee.locals {
            unsafe block.pointee.locals = nil
            unsafe Unmanaged<AnyObject>.fromOpaque(locals).release()
        }
    }
}
