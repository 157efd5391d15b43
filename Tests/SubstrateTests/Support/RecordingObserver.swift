// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// An observer that lets everything happen and keeps a list of it.
final class RecordingObserver: Observer, @unchecked Sendable {
    // Unchecked: only the watched thread calls it.
    var operations: [Operation] = []
    var ends: [(old: Bits, new: Bits, wrote: Bool)] = []
    var descriptions: [(old: String, new: String)] = []
    var sighted: Set<UInt> = []
    var labels: [UInt: String] = [:]
    var spins: [String] = []
    var waitEvents: [String] = []
    var misuses: [String] = []
    var directive = Directive.perform
    /// What `perform` answers.
    var answer = true

    var kinds: [OperationKind] { operations.map(\.kind) }

    /// The atomic operations among them.
    var accesses: [AtomicAccess] = []

    override func begin(_ access: AtomicAccess, at address: UInt, _ operand: Bits, _ site: Site)
        -> Directive
    {
        accesses.append(access)
        var operation = Operation(access.kind, address, access.order, site: site)
        operation.operand = operand
        operations.append(operation)
        return directive
    }
    override func mutex(_ kind: OperationKind, at address: UInt, _ site: Site) -> Bool {
        operations.append(
            Operation(kind, address, kind == .unlock ? .releasing : .acquiring, site: site))
        return answer
    }
    override func end(old: Bits, new: Bits, wrote: Bool) { ends.append((old, new, wrote)) }
    override func describe(old: String, new: String) { descriptions.append((old, new)) }
    override func perform(_ operation: Operation) -> Bool {
        operations.append(operation)
        return answer
    }
    override func spinBegins() { spins.append("begins") }
    override func spinWaits(at site: Site) { spins.append("waits") }
    override func spinEnds() { spins.append("ends") }
    override func sight(_ address: UInt) { sighted.insert(address) }
    override func label(_ address: UInt, _ name: String) { labels[address] = name }
    override func now(at site: Site) -> UInt64 { 42 }
    override func section(
        of waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {
        let whose = owner == .thread ? "section" : "task's section"
        waitEvents.append("\(whose) \(name()) \(begins ? "begins" : "ends")")
    }
    override func misuse(_ sentence: String, at site: Site) { misuses.append(sentence) }
    override func waits(for waitClass: WaitClass, _ name: () -> String, begins: Bool) {
        waitEvents.append("wait \(name()) \(begins ? "begins" : "ends")")
    }
}

extension Observer {
    /// Runs `body` with this observer watching the thread, as an explorer would.
    func watch<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        // Before the block is changed: it is put back as it was.
        _ = World.currentThread
        let block = unsafe quiesce_current_block()
        let (observer, token) = unsafe (block.pointee.observer, block.pointee.token)
        unsafe block.pointee.observer = Unmanaged.passUnretained(self).toOpaque()
        unsafe block.pointee.token = 0
        let slots = unsafe block.pointee.slots
        unsafe block.pointee.slots = nil
        defer {
            unsafe block.pointee.slots = slots
            unsafe block.pointee.observer = observer
            unsafe block.pointee.token = token
        }
        return try body()
    }
}

/// The address that identifies `object` to an observer.
func address<Object: ~Copyable>(of object: borrowing Object) -> UInt {
    unsafe withUnsafePointer(to: object) { UInt(bitPattern: $0) }
}
