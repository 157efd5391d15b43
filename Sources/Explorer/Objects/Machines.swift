// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The kinds of objects that bring their own state machines, by number.
final class Machines {
    private var all: [ObjectMachine] = []

    subscript(number: Int) -> ObjectMachine { all[number] }

    func number(of machine: ObjectMachine) -> Int {
        if let known = all.firstIndex(where: { $0 === machine }) { return known }
        all.append(machine)
        return all.count - 1
    }
}

// What an operation of such an object is, in the words of a step.
extension Step {
    init(_ operation: UInt8, _ argument: UInt64, of machine: Int, thread: Int32, object: Int32) {
        self.init(thread: thread, kind: .machine, object: object)
        expected = Bits(low: argument, high: UInt64(machine) << 8 | UInt64(operation))
    }

    /// The number of the operation, and that of its machine.
    var operation: UInt8 { UInt8(truncatingIfNeeded: expected.high) }
    var machine: Int { Int(expected.high >> 8) }

    /// What the step does in `state`; nil where it has to wait.
    func transition(in state: Bits, _ machines: Machines) -> ObjectMachine.Transition? {
        machines[machine].apply(operation, expected.low, to: state)
    }
}

extension Scheduler {
    /// The running thread performs an operation of an object that brings its machine.
    func performMachine(
        _ operation: UInt8, _ argument: UInt64, _ machine: ObjectMachine, _ address: UInt,
        _ initial: Bits, _ site: Site
    ) -> UInt64 {
        guard mode != .idle else { return 0 }
        let thread = current
        suspendOperation(of: thread)
        let object = object(at: address)
        if objects[object].state == nil { objects[object].state = initial }
        let step = Step(
            operation, argument, of: machines.number(of: machine), thread: thread, object: object)
        guard mode == .exploring || mode == .finishing else { return performUnseen(step) }
        threads[thread].kind = .machine
        threads[thread].object = object
        threads[thread].other = -1
        threads[thread].expected = step.expected
        threads[thread].site = site
        park(thread)
        if mode == .draining { return performUnseen(step) }
        let effect = take(thread, site)
        recorder?.describe(
            old: "", new: machine.text(operation, result: effect.result, name(of: object)))
        if attention.races { sync.update(thread, object, machine.orders[Int(operation)]) }
        return effect.result
    }

    /// What is done once the execution is over: every wait is granted.
    private func performUnseen(_ step: Step) -> UInt64 {
        if mode == .draining { drainStep(step.thread) }
        let state = objects[step.object].state ?? Bits()
        if let transition = step.transition(in: state, machines) {
            objects[step.object].state = transition.state
            return transition.result
        }
        fail(
            .deadlock, "\(name(ofThread: step.thread)) waits for \(name(of: step.object)) for ever")
        return 0
    }
}
