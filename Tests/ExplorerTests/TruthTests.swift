// SPDX-License-Identifier: Apache-2.0

import Explorer
import Fuzzing
import Substrate
import Testing

/// Races and late accesses, judged a second time from what each execution did.
///
/// The strategies share the clocks, so that they cannot check them. Here happens-before is computed
/// anew for every execution, as the closure of what the memory model says: program order, what
/// reads from what, release sequences, fences, locks, starts and joins.
@Suite struct TruthTests {
    /// One thing that a thread did.
    private struct Act {
        var thread: Int
        var kind: Kind
        var object = 0
        var order = Order.relaxed
        /// What it found, and what it left: each store leaves another value.
        var found = 0
        var left = 0

        enum Kind {
            case load, store, update, fence, read, write
            case lock, unlock, readLock, readUnlock, spawn, start, end, join
            case use, free
        }
    }

    private struct Order: OptionSet {
        var rawValue: Int
        static let relaxed: Order = []
        static let acquiring = Order(rawValue: 1)
        static let releasing = Order(rawValue: 2)
        static let both: Order = [.acquiring, .releasing]
    }

    /// What one execution did, in the order in which it happened.
    private final class History: @unchecked Sendable {
        // Unchecked: all threads of an execution are fibers of one thread of the system.
        private(set) var acts: [Act] = []
        var threads = 0

        func begin() {
            acts.removeAll()
            threads = 0
        }
        func note(_ act: Act) { acts.append(act) }
        func newThread() -> Int {
            threads += 1
            return threads
        }

        /// Which acts happen before which.
        private var order: [[Bool]] {
            let count = acts.count
            var before = Array(repeating: Array(repeating: false, count: count), count: count)
            for later in 0..<count {
                for earlier in 0..<later where synchronizes(earlier, later) {
                    before[earlier][later] = true
                }
            }
            for middle in 0..<count {
                for first in 0..<count where before[first][middle] {
                    for last in 0..<count where before[middle][last] { before[first][last] = true }
                }
            }
            return before
        }

        /// Whether `earlier` happens before `later` directly.
        private func synchronizes(_ earlier: Int, _ later: Int) -> Bool {
            let (first, second) = (acts[earlier], acts[later])
            if first.thread == second.thread { return true }
            switch (first.kind, second.kind) {
            case (.spawn, .start), (.end, .join): return first.object == second.object
            case (.unlock, .lock), (.unlock, .readLock), (.readUnlock, .lock):
                return first.object == second.object
            case (.store, _), (.update, _), (.fence, _):
                return releases(earlier).contains { head in
                    acquires(later).contains { reads($0, from: head) }
                }
            default: return false
            }
        }

        /// The stores by which an act publishes: itself, or for a fence those that follow it.
        private func releases(_ index: Int) -> [Int] {
            let act = acts[index]
            guard act.order.contains(.releasing) else { return [] }
            if act.kind != .fence { return act.kind == .load ? [] : [index] }
            return acts.indices.filter {
                $0 > index && acts[$0].thread == act.thread
                    && (acts[$0].kind == .store || acts[$0].kind == .update)
            }
        }

        /// The loads by which an act learns: itself, or for a fence those before it.
        private func acquires(_ index: Int) -> [Int] {
            let act = acts[index]
            guard act.order.contains(.acquiring) else { return [] }
            if act.kind != .fence { return act.kind == .load || act.kind == .update ? [index] : [] }
            return acts.indices.filter {
                $0 < index && acts[$0].thread == act.thread
                    && (acts[$0].kind == .load || acts[$0].kind == .update)
            }
        }

        /// Whether a load reads what `store` left, or what an update left that read so.
        private func reads(_ load: Int, from store: Int) -> Bool {
            guard acts[load].object == acts[store].object, store < load else { return false }
            guard
                let source = acts.indices.last(where: {
                    $0 < load && acts[$0].object == acts[load].object
                        && acts[$0].left == acts[load].found
                        && (acts[$0].kind == .store || acts[$0].kind == .update)
                })
            else { return false }
            return source == store || acts[source].kind == .update && reads(source, from: store)
        }

        var hasRace: Bool {
            let order = order
            for second in acts.indices
            where acts[second].kind == .read || acts[second].kind == .write {
                for first in 0..<second
                where acts[first].kind == .read || acts[first].kind == .write {
                    if acts[first].object == acts[second].object,
                        acts[first].thread != acts[second].thread,
                        acts[first].kind == .write || acts[second].kind == .write,
                        !order[first][second]
                    {
                        return true
                    }
                }
            }
            return false
        }

        /// The first access of memory after it was freed.
        var firstLate: Verdict.Kind? {
            var freed: Set<Int> = []
            for act in acts {
                if act.kind == .free {
                    if !freed.insert(act.object).inserted { return .doubleFree }
                } else if act.kind == .use, freed.contains(act.object) {
                    return .useAfterFree
                }
            }
            return nil
        }
    }

    /// One thing that a thread does.
    private indirect enum Step {
        case load(Int, Order), store(Int, Order), exchange(Int, Order), compare(
            Int, Order, failure: Order), fence(
                Order)
        case read(Int), write(Int), locked([Step]), reading([Step]), writing([Step]), spawn([Step])
        case use(Int), readStorage(Int), writeStorage(Int), free(Int)

        static func random(_ random: inout FuzzGenerator, _ depth: Int = 0) -> Step {
            func order(_ random: inout FuzzGenerator) -> Order { Order(rawValue: random.below(4)) }
            func plain(_ random: inout FuzzGenerator) -> [Step] {
                (0..<1 + random.below(2)).map { _ in
                    random.below(2) == 0 ? .read(random.below(2)) : .write(random.below(2))
                }
            }
            switch random.below(depth > 0 ? 13 : 15) {
            case 0, 1: return .load(random.below(2), order(&random))
            case 2, 3: return .store(random.below(2), order(&random))
            case 4: return .exchange(0, order(&random))
            case 5:
                return .compare(
                    0, order(&random), failure: random.below(2) == 0 ? .relaxed : .acquiring)
            case 6: return .fence(random.pick([.acquiring, .releasing, .both]))
            case 7, 8, 9: return plain(&random)[0]
            case 10: return .locked(plain(&random))
            case 11: return .reading([.read(random.below(2))])
            case 12: return .writing(plain(&random))
            default:
                return .spawn(
                    (0..<1 + random.below(2)).map { _ in Step.random(&random, depth + 1) })
            }
        }

        /// Something written and then published, or learned and then read: what fences are for.
        static func randomOfMessages(_ random: inout FuzzGenerator) -> [Step] {
            func order(_ random: inout FuzzGenerator) -> Order {
                random.pick([.relaxed, .acquiring, .releasing])
            }
            let publish: [Step] = [
                .write(0), .fence(random.pick([.releasing, .releasing, .both, .acquiring])),
                random.pick([.store(0, order(&random)), .exchange(0, order(&random))]),
            ]
            let learn: [Step] = [
                random.pick([.load(0, order(&random)), .exchange(0, order(&random))]),
                .fence(random.pick([.acquiring, .acquiring, .both, .releasing])), .read(0),
            ]
            return random.pick([publish, learn, [.store(0, order(&random))]])
        }

        static func randomOfMemory(_ random: inout FuzzGenerator) -> Step {
            let block = random.below(2)
            return random.pick([
                .use(block), .readStorage(block), .writeStorage(block), .free(block),
                .load(0, .relaxed),
            ])
        }
    }

    private final class Objects: @unchecked Sendable {
        // Unchecked: as above.
        let words = [Word(), Word()]
        let plain = [Plain(), Plain()]
        let lock = Mutex(())
        let readers = RWLock(())
        let blocks: [Storage<Int>]
        let words2: [Storage<Atomic<Int>>]
        let history: History
        private var values = 0

        final class Word: Sendable { let value = Atomic(0) }
        final class Plain: Sendable { let value = Unsynchronized(0) }

        init(_ history: History, memory: Bool) {
            self.history = history
            blocks = memory ? (0..<2).map { _ in .allocate(0) } : []
            words2 = memory ? (0..<2).map { _ in .allocate(Atomic(0)) } : []
        }

        func run(_ steps: [Step], _ thread: Int) {
            for step in steps { run(step, thread) }
        }

        private func run(_ step: Step, _ thread: Int) {
            values += 1
            let own = values
            func note(
                _ kind: Act.Kind, _ object: Int, _ order: Order = .relaxed, found: Int = 0,
                left: Int = 0
            ) {
                history.note(
                    Act(
                        thread: thread, kind: kind, object: object, order: order, found: found,
                        left: left))
            }
            switch step {
            case .load(let word, let order):
                let isAcquiring = order.contains(.acquiring)
                let atomic = words[word]
                let value =
                    isAcquiring
                    ? atomic.value.load(ordering: .acquiring)
                    : atomic.value.load(ordering: .relaxed)
                note(.load, word, isAcquiring ? .acquiring : .relaxed, found: value)
            case .store(let word, let order):
                let isReleasing = order.contains(.releasing)
                if isReleasing {
                    words[word].value.store(own, ordering: .releasing)
                } else {
                    words[word].value.store(own, ordering: .relaxed)
                }
                note(.store, word, isReleasing ? .releasing : .relaxed, left: own)
            case .exchange(let word, let order):
                let atomic = words[word]
                let found =
                    switch order {
                    case .both: atomic.value.exchange(own, ordering: .acquiringAndReleasing)
                    case .acquiring: atomic.value.exchange(own, ordering: .acquiring)
                    case .releasing: atomic.value.exchange(own, ordering: .releasing)
                    default: atomic.value.exchange(own, ordering: .relaxed)
                    }
                note(.update, word, order, found: found, left: own)
            case .compare(let word, let order, let failure):
                let atomic = words[word]
                func attempt() -> (exchanged: Bool, original: Int) {
                    switch (order, failure) {
                    case (.both, .acquiring):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .acquiringAndReleasing,
                            failureOrdering: .acquiring)
                    case (.both, _):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .acquiringAndReleasing,
                            failureOrdering: .relaxed)
                    case (.acquiring, .acquiring):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .acquiring,
                            failureOrdering: .acquiring)
                    case (.acquiring, _):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .acquiring,
                            failureOrdering: .relaxed)
                    case (.releasing, .acquiring):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .releasing,
                            failureOrdering: .acquiring)
                    case (.releasing, _):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .releasing,
                            failureOrdering: .relaxed)
                    case (_, .acquiring):
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .relaxed,
                            failureOrdering: .acquiring)
                    default:
                        atomic.value.compareExchange(
                            expected: 0, desired: own, successOrdering: .relaxed,
                            failureOrdering: .relaxed)
                    }
                }
                let (exchanged, original) = attempt()
                note(
                    exchanged ? .update : .load, word, exchanged ? order : failure, found: original,
                    left: exchanged ? own : 0)
            case .fence(let order):
                switch order {
                case .acquiring: atomicMemoryFence(ordering: .acquiring)
                case .releasing: atomicMemoryFence(ordering: .releasing)
                default: atomicMemoryFence(ordering: .acquiringAndReleasing)
                }
                note(.fence, 0, order)
            case .read(let index):
                _ = plain[index].value.load()
                note(.read, index)
            case .write(let index):
                plain[index].value.store(own)
                note(.write, index)
            case .locked(let steps):
                lock.lock()
                note(.lock, 10)
                run(steps, thread)
                lock.unlock()
                note(.unlock, 10)
            case .reading(let steps):
                readers.withReadLock { _ in
                    note(.readLock, 11)
                    run(steps, thread)
                }
                note(.readUnlock, 11)
            case .writing(let steps):
                readers.withWriteLock { _ in
                    note(.lock, 11)
                    run(steps, thread)
                }
                note(.unlock, 11)
            case .spawn(let steps):
                let child = history.newThread()
                note(.spawn, child)
                let handle = try? WorldThread.spawn(name: "child") { [self] in
                    history.note(Act(thread: child, kind: .start, object: child))
                    run(steps, child)
                    history.note(Act(thread: child, kind: .end, object: child))
                }
                handle?.join()
                note(.join, child)
            case .use(let block):
                _ = words2[block].pointee.load(ordering: .relaxed)
                note(.use, block + 2)
            case .readStorage(let block):
                _ = blocks[block].read()
                note(.use, block)
            case .writeStorage(let block):
                blocks[block].write(own)
                note(.use, block)
            case .free(let block):
                unsafe blocks[block].free()
                note(.free, block)
                unsafe words2[block].free()
                note(.free, block + 2)
            }
        }
    }

    /// Explores the program, and judges each execution twice.
    private func compare(
        _ threads: [[Step]], memory: Bool, _ truth: @escaping @Sendable (History) -> Verdict.Kind?
    ) throws -> (mistakes: Int, findings: Int, executions: Int) {
        let history = History()
        let counts = Counts()
        var options = ExplorationOptions(strategy: .depthFirst)
        options.stopsAtFirstFailure = false
        options.minimizes = false
        options.executionLimit = 300
        options.concluded = { verdict in
            // Memory that is never freed is not what this is about; a race that comes first hides
            // what follows.
            if memory, verdict == .race { return }
            let verdict = verdict == .leak ? nil : verdict
            let expected = truth(history)
            counts.executions += 1
            if expected != nil { counts.findings += 1 }
            if verdict != expected { counts.mistakes += 1 }
        }
        _ = try Exploration("truth", options: options) { world in
            history.begin()
            let objects = Objects(history, memory: memory)
            for steps in threads {
                let thread = history.newThread()
                history.note(Act(thread: 0, kind: .spawn, object: thread))
                world.thread("t\(thread)") {
                    history.note(Act(thread: thread, kind: .start, object: thread))
                    objects.run(steps, thread)
                    history.note(Act(thread: thread, kind: .end, object: thread))
                }
            }
        }.run()
        return (counts.mistakes, counts.findings, counts.executions)
    }

    private final class Counts: @unchecked Sendable {
        // Unchecked: as above.
        var mistakes = 0
        var findings = 0
        var executions = 0
    }

    @Test(arguments: 0..<40)
    func `a race is found in an execution exactly where nothing orders its accesses`(seed: Int)
        throws
    {
        var random = FuzzGenerator(UInt64(seed) * 1_000)
        var (findings, executions) = (0, 0)
        for _ in 0..<15 {
            let threads = (0..<2 + random.below(2)).map { _ in
                (0..<2 + random.below(3)).map { _ in Step.random(&random) }
            }
            let found = try compare(threads, memory: false) { $0.hasRace ? .race : nil }
            #expect(found.mistakes == 0, "\(threads)")
            findings += found.findings
            executions += found.executions
        }
        #expect(findings > 0 && findings < executions)
    }

    @Test func `fences order what relaxed operations pass on`() throws {
        var random = FuzzGenerator(11)
        var (findings, executions) = (0, 0)
        for _ in 0..<100 {
            let threads = (0..<2 + random.below(2)).map { _ in Step.randomOfMessages(&random) }
            let found = try compare(threads, memory: false) { $0.hasRace ? .race : nil }
            #expect(found.mistakes == 0, "\(threads)")
            findings += found.findings
            executions += found.executions
        }
        #expect(findings > 0 && findings < executions)
    }

    @Test(arguments: 0..<10)
    func `a late access is found in an execution exactly where memory was freed before`(
        seed: Int
    ) throws {
        var random = FuzzGenerator(UInt64(seed) * 1_000 + 7)
        var findings = 0
        for _ in 0..<15 {
            let threads = (0..<2).map { _ in
                (0..<1 + random.below(3)).map { _ in Step.randomOfMemory(&random) }
            }
            let found = try compare(threads, memory: true) { $0.firstLate }
            #expect(found.mistakes == 0, "\(threads)")
            findings += found.findings
        }
        #expect(findings > 0)
    }
}
