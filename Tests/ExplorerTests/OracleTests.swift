// SPDX-License-Identifier: Apache-2.0

import Explorer
import Fuzzing
import Substrate
import Synchronization
import Testing

/// Programs whose traces are counted a second time, by a model that shares nothing with the
/// explorer.
///
/// The strategies share the machines, so that they cannot check them. The model interprets a
/// program by itself, runs every interleaving, and tells executions apart by what each object saw:
/// its sequence of writes, with the sets of reads between them.
@Suite struct OracleTests {
    private enum Step: CustomStringConvertible {
        case read(Int), write(Int, Int), add(Int), compare(Int, Int, Int)
        /// A store that its thread buffers, and what waits until there is none.
        case buffered(Int, Int), barrier
        case lock(Int), tryLock(Int), unlock(Int)
        /// Of the reader-writer locks the second prefers readers. An end after a try that failed is
        /// no step.
        case readLock(Int), tryReadLock(Int), readUnlock(Int)
        case writeLock(Int), tryWriteLock(Int), writeUnlock(Int)
        case wait(seconds: Int), signal
        case sleep(seconds: Int), now

        var description: String {
            switch self {
            case .read(let word): "r\(word)"
            case .write(let word, let value): "w\(word)=\(value)"
            case .add(let word): "f\(word)"
            case .compare(let word, let expected, let new): "c\(word):\(expected)>\(new)"
            case .buffered(let word, let value): "w\(word)=~\(value)"
            case .barrier: "barrier"
            case .lock(let lock): "l\(lock)"
            case .tryLock(let lock): "tl\(lock)"
            case .unlock(let lock): "u\(lock)"
            case .readLock(let lock): "rl\(lock)"
            case .tryReadLock(let lock): "trl\(lock)"
            case .readUnlock(let lock): "ru\(lock)"
            case .writeLock(let lock): "wl\(lock)"
            case .tryWriteLock(let lock): "twl\(lock)"
            case .writeUnlock(let lock): "wu\(lock)"
            case .wait(let seconds): seconds > 0 ? "wait \(seconds)" : "wait"
            case .signal: "signal"
            case .sleep(let seconds): "sleep \(seconds)"
            case .now: "now"
            }
        }
    }

    // MARK: The model

    private struct Model: Hashable {
        var words = [0, 0]
        /// Of the two mutexes and of the two reader-writer locks, which also have readers and
        /// writers that have asked.
        var owners = [-1, -1, -1, -1]
        var readers: [Set<Int>] = [[], []]
        var requests: [Set<Int>] = [[], []]
        var waiters: Set<Int> = []
        /// By thread: when its wait ends; 0 for never.
        var timers: [Int]
        /// By thread: the stores that others do not see yet, and where it ever made one.
        var buffers: [[Buffered]]
        var positions: [Int]
        /// Who waits to acquire the lock again.
        var isReacquiring: [Bool]
        /// By object: groups of writes, each alone, and of reads.
        var traces: [Object: [Set<String>]] = [:]
        var kinds: [Object: [Bool]] = [:]
        var steps: [Int]

        init(threads: Int) {
            timers = Array(repeating: 0, count: threads)
            buffers = Array(repeating: [], count: threads)
            positions = Array(repeating: 0, count: threads)
            isReacquiring = Array(repeating: false, count: threads)
            steps = Array(repeating: 0, count: threads)
        }

        mutating func access(_ object: Object, writes: Bool, _ event: String) {
            // Barriers commute with each other, and so do the stores that they wait for.
            if kinds[object]?.last == writes, !writes || object == .barrier {
                traces[object]![traces[object]!.count - 1].insert(event)
            } else {
                traces[object, default: []].append([event])
                kinds[object, default: []].append(writes)
            }
        }

        func isForwarded(_ thread: Int, _ word: Int) -> Bool {
            buffers[thread].contains { $0.word == word && !$0.isVisible }
        }

        func hasBuffered(_ thread: Int) -> Bool { buffers[thread].contains { !$0.isVisible } }

        /// What a writer needs.
        func isFree(_ lock: Int) -> Bool { owners[2 + lock] < 0 && readers[lock].isEmpty }

        func admitsReader(_ lock: Int) -> Bool {
            owners[2 + lock] < 0 && (lock == 1 || requests[lock].isEmpty)
        }
    }

    private struct Buffered: Hashable {
        var word: Int
        var value: Int
        var isVisible = false
    }

    private enum Object: Hashable {
        case word(Int), lock(Int), condition, clock, barrier
        case buffer(thread: Int, word: Int)
    }

    /// How many traces end well, and in a deadlock.
    private func count(_ program: [[Step]]) -> (complete: Int, deadlocked: Int) {
        var level: Set<Model> = [Model(threads: program.count)]
        var (complete, deadlocked) = (0, 0)
        while !level.isEmpty {
            var following: Set<Model> = []
            for model in level {
                let next = successors(of: model, program)
                if next.isEmpty {
                    let isDone = program.indices.allSatisfy {
                        model.positions[$0] == program[$0].count
                    }
                    if isDone { complete += 1 } else { deadlocked += 1 }
                }
                following.formUnion(next)
            }
            level = following
        }
        return (complete, deadlocked)
    }

    private func successors(of model: Model, _ program: [[Step]]) -> [Model] {
        program.indices.flatMap { thread -> [Model] in
            var result: [Model] = []
            if model.hasBuffered(thread) { result.append(flushed(model, thread)) }
            guard model.positions[thread] < program[thread].count else { return result }
            let step = program[thread][model.positions[thread]]
            var next = model
            let event = "\(thread).\(model.steps[thread])"
            next.steps[thread] += 1
            next.positions[thread] += 1
            switch step {
            // Behind a buffered store even a plain one is buffered.
            case .write(let word, let value) where !model.buffers[thread].isEmpty:
                return take(.buffered(word, value), model, &next, thread, event)
                    ? result + [next] : result
            case .wait: return result + afterWait(step, model, next, thread, event)
            case .sleep(let seconds):
                return result + afterSleep(until: seconds, model, next, thread, event)
            case .signal:
                return result + (model.hasBuffered(thread) ? [] : afterSignal(model, next, event))
            default: return take(step, model, &next, thread, event) ? result + [next] : result
            }
        }
    }

    /// The oldest buffered store of a thread becomes visible.
    private func flushed(_ model: Model, _ thread: Int) -> Model {
        var next = model
        let index = model.buffers[thread].firstIndex { !$0.isVisible }!
        let store = model.buffers[thread][index]
        let event = "flush \(thread).\(index)"
        next.buffers[thread][index].isVisible = true
        next.words[store.word] = store.value
        next.access(.word(store.word), writes: true, event)
        next.access(.barrier, writes: false, event)
        next.access(.buffer(thread: thread, word: store.word), writes: true, event)
        return next
    }

    /// Takes a step that has no choice; false where it has to wait.
    private func take(
        _ step: Step, _ model: Model, _ next: inout Model, _ thread: Int, _ event: String
    ) -> Bool {
        // All but these drain the thread's buffer.
        switch step {
        case .read, .buffered, .now: break
        case .readUnlock(let lock) where !model.readers[lock].contains(thread): return true
        case .unlock(let lock) where model.owners[lock] != thread: return true
        case .writeUnlock(let lock) where model.owners[2 + lock] != thread: return true
        default: if model.hasBuffered(thread) { return false }
        }
        switch step {
        case .read(let word):
            if !model.isForwarded(thread, word) { next.access(.word(word), writes: false, event) }
            if model.buffers[thread].contains(where: { $0.word == word }) {
                next.access(.buffer(thread: thread, word: word), writes: false, event)
            }
        case .write(let word, let value):
            next.words[word] = value
            next.access(.word(word), writes: true, event)
        case .add(let word):
            next.words[word] += 1
            next.access(.word(word), writes: true, event)
        case .compare(let word, let expected, let new):
            let succeeds = model.words[word] == expected
            if succeeds { next.words[word] = new }
            next.access(.word(word), writes: succeeds, event)
        case .buffered(let word, let value):
            next.buffers[thread].append(Buffered(word: word, value: value))
            next.access(.barrier, writes: false, event)
        case .barrier:
            if model.buffers.indices.contains(where: model.hasBuffered) { return false }
            next.access(.barrier, writes: true, event)
        case .lock(let lock):
            if model.owners[lock] >= 0 { return false }
            next.owners[lock] = thread
            next.access(.lock(lock), writes: true, event)
        case .tryLock(let lock):
            if model.owners[lock] < 0 { next.owners[lock] = thread }
            next.access(.lock(lock), writes: model.owners[lock] < 0, event)
        case .unlock(let lock):
            next.owners[lock] = -1
            next.access(.lock(lock), writes: true, event)
        case .readLock(let lock):
            if !model.admitsReader(lock) { return false }
            next.readers[lock].insert(thread)
            next.access(.lock(2 + lock), writes: false, event)
        case .tryReadLock(let lock):
            if model.admitsReader(lock) { next.readers[lock].insert(thread) }
            next.access(.lock(2 + lock), writes: false, event)
        case .readUnlock(let lock):
            next.readers[lock].remove(thread)
            next.access(.lock(2 + lock), writes: false, event)
        case .writeLock(let lock):
            if model.isFree(lock) {
                next.requests[lock].remove(thread)
                next.owners[2 + lock] = thread
            } else {
                // A writer that has to wait asks first, unless readers come first anyway; once.
                if lock == 1 || model.requests[lock].contains(thread) { return false }
                next.requests[lock].insert(thread)
                next.positions[thread] -= 1
            }
            next.access(.lock(2 + lock), writes: true, event)
        case .tryWriteLock(let lock):
            if model.isFree(lock) { next.owners[2 + lock] = thread }
            next.access(.lock(2 + lock), writes: true, event)
        case .writeUnlock(let lock):
            next.owners[2 + lock] = -1
            next.access(.lock(2 + lock), writes: true, event)
        case .now: next.access(.clock, writes: false, event)
        case .wait, .signal, .sleep: return false
        }
        return true
    }

    /// A sleep arms a timer, and ends when no earlier one runs.
    private func afterSleep(
        until seconds: Int, _ model: Model, _ next: Model, _ thread: Int, _ event: String
    ) -> [Model] {
        var next = next
        if model.timers[thread] == 0 {
            if model.hasBuffered(thread) { return [] }
            next.timers[thread] = seconds
            next.positions[thread] -= 1
        } else {
            if model.timers.contains(where: { $0 > 0 && $0 < seconds }) { return [] }
            next.timers[thread] = 0
        }
        next.access(.clock, writes: true, event)
        return [next]
    }

    /// A wait gives the mutex back, ends at its deadline or by a wake-up, and acquires the mutex
    /// again.
    private func afterWait(
        _ step: Step, _ model: Model, _ next: Model, _ thread: Int, _ event: String
    ) -> [Model] {
        guard case .wait(let seconds) = step else { return [] }
        var next = next
        if model.waiters.contains(thread) {
            // Timers end in the order of their deadlines.
            let deadline = model.timers[thread]
            if deadline == 0 || model.timers.contains(where: { $0 > 0 && $0 < deadline }) {
                return []
            }
            next.waiters.remove(thread)
            next.timers[thread] = 0
            next.positions[thread] -= 1
            next.access(.condition, writes: true, event)
            next.access(.clock, writes: true, event)
        } else if model.isReacquiring[thread] {
            if model.owners[0] >= 0 { return [] }
            next.isReacquiring[thread] = false
            next.owners[0] = thread
            next.access(.lock(0), writes: true, event)
        } else {
            if model.hasBuffered(thread) { return [] }
            next.isReacquiring[thread] = true
            next.positions[thread] -= 1
            next.owners[0] = -1
            next.waiters.insert(thread)
            next.timers[thread] = seconds
            next.access(.condition, writes: true, event)
            next.access(.lock(0), writes: true, event)
            if seconds > 0 { next.access(.clock, writes: true, event) }
        }
        return [next]
    }

    /// A signal wakes one waiter, and any if there are several.
    private func afterSignal(_ model: Model, _ next: Model, _ event: String) -> [Model] {
        if model.waiters.isEmpty {
            var next = next
            next.access(.condition, writes: true, event)
            return [next]
        }
        return model.waiters.map { waiter in
            var chosen = next
            chosen.waiters.remove(waiter)
            let name = model.waiters.count > 1 ? "\(event) wakes \(waiter)" : event
            chosen.access(.condition, writes: true, name)
            if model.timers[waiter] > 0 { chosen.access(.clock, writes: true, name) }
            chosen.timers[waiter] = 0
            return chosen
        }
    }

    // MARK: The program

    private final class Objects: Sendable {
        let words = [Word("w0"), Word("w1")]
        let locks = [Lock("m0"), Lock("m1")]
        let readersWriters = [
            ReadersWriter("rw0", preferring: .writers), ReadersWriter("rw1", preferring: .readers),
        ]
        let condition = Condition()

        init() { condition.label("c") }

        final class Word: Sendable {
            let value = Substrate.Atomic(0)
            init(_ name: String) { value.label(name) }
        }
        final class Lock: Sendable {
            let value = Substrate.Mutex(())
            init(_ name: String) { value.label(name) }
        }
        final class ReadersWriter: Sendable {
            let value: RWLock<Void>
            init(_ name: String, preferring preference: RWLock<Void>.Preference) {
                value = RWLock((), preferring: preference)
                value.label(name)
            }
        }

        func run(_ steps: [Step]) { run(steps[...]) }

        private func run(_ steps: ArraySlice<Step>) {
            var steps = steps
            while let step = steps.popFirst() {
                switch step {
                case .readLock(let lock):
                    inside(&steps, until: lock) { lock, body in lock.withReadLock { _ in body() } }
                case .tryReadLock(let lock):
                    inside(&steps, until: lock) { lock, body in
                        _ = lock.withReadLockIfAvailable { _ in body() }
                    }
                case .writeLock(let lock):
                    inside(&steps, until: lock) { lock, body in lock.withWriteLock { _ in body() } }
                case .tryWriteLock(let lock):
                    inside(&steps, until: lock) { lock, body in
                        _ = lock.withWriteLockIfAvailable { _ in body() }
                    }
                case .tryLock(let lock):
                    // Its end follows at once.
                    if locks[lock].value.tryLock() { locks[lock].value.unlock() }
                    _ = steps.popFirst()
                default: run(step)
                }
            }
        }

        /// Runs the steps up to the end of the section inside `section`; where a try fails they are
        /// left out, as in the model.
        private func inside(
            _ steps: inout ArraySlice<Step>, until lock: Int,
            _ section: (borrowing RWLock<Void>, () -> Void) -> Void
        ) {
            let end = steps.firstIndex {
                switch $0 {
                case .readUnlock(lock), .writeUnlock(lock): true
                default: false
                }
            }!
            let body = steps[..<end]
            steps = steps[(end + 1)...]
            section(readersWriters[lock].value) { run(body) }
        }

        private func run(_ step: Step) {
            switch step {
            case .read(let word): _ = words[word].value.load(ordering: .relaxed)
            case .write(let word, let value): words[word].value.store(value, ordering: .relaxed)
            case .add(let word): words[word].value.add(1, ordering: .relaxed)
            case .compare(let word, let expected, let new):
                _ = words[word].value.compareExchange(
                    expected: expected, desired: new, ordering: .relaxed)
            case .buffered(let word, let value): words[word].value.storeAsymmetric(value)
            case .barrier: membarrier()
            case .lock(let lock): locks[lock].value.lock()
            case .unlock(let lock): locks[lock].value.unlock()
            case .wait(let seconds):
                let deadline =
                    seconds > 0
                    ? WorldClock.Instant(nanoseconds: UInt64(1 + seconds) * 1_000_000_000) : nil
                condition.wait(locks[0].value, until: deadline)
            case .signal: condition.signal()
            case .sleep(let seconds):
                WorldClock.sleep(
                    until: WorldClock.Instant(nanoseconds: UInt64(1 + seconds) * 1_000_000_000))
            case .now: _ = WorldClock.now()
            default: break
            }
        }
    }

    private func explore(_ program: [[Step]]) throws -> ExplorationReport {
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.minimizes = false
        return try Exploration("oracle", options: options) { world in
            let objects = Objects()
            for (index, steps) in program.enumerated() {
                world.thread("t\(index)") { objects.run(steps) }
            }
        }.run()
    }

    /// What a thread does at a stretch, of one of a few kinds: a few kinds together meet more
    /// often.
    private func part(_ kind: Int, _ random: inout FuzzGenerator) -> [Step] {
        let word = random.below(2)
        let rw = random.below(2)
        switch kind {
        case 0:
            return random.pick([
                [.read(word)], [.write(word, random.below(3))], [.add(word)],
                [.compare(word, random.below(2), 5)],
                [.lock(0), .read(word), .unlock(0)], [.lock(1), .lock(0), .unlock(0), .unlock(1)],
                [.lock(0), .lock(1), .unlock(1), .unlock(0)],
                [.lock(0), .wait(seconds: 0), .unlock(0)], [.signal],
                [.lock(0), .signal, .unlock(0)], [.tryLock(0), .unlock(0)],
                [.lock(0), .wait(seconds: 1 + random.below(2)), .unlock(0)],
            ])
        case 1:
            return random.pick([
                [.readLock(rw), .read(word), .readUnlock(rw)], [.readLock(0), .readUnlock(0)],
                [.writeLock(rw), .write(word, 1), .writeUnlock(rw)],
                [.writeLock(0), .writeUnlock(0)],
                [.tryReadLock(0), .readUnlock(0)], [.tryReadLock(rw), .readUnlock(rw)],
                [.tryWriteLock(rw), .writeUnlock(rw)],
                [.lock(0), .readLock(0), .readUnlock(0), .unlock(0)],
                [.readLock(0), .lock(0), .unlock(0), .readUnlock(0)], [.add(word)],
            ])
        case 2:
            return random.pick([
                [.read(0)], [.write(0, random.below(3))], [.compare(0, random.below(3), 1)],
                [.compare(0, random.below(3), 2)], [.compare(word, 0, 1)], [.add(word)],
            ])
        case 3:
            return random.pick([
                [.lock(0), .wait(seconds: random.below(3)), .unlock(0)],
                [.lock(0), .wait(seconds: random.below(2)), .unlock(0)],
                [.signal], [.lock(0), .signal, .unlock(0)],
                random.below(3) == 0 ? [.now] : [.sleep(seconds: 1 + random.below(2))],
            ])
        default:
            return random.pick([
                [.buffered(word, 3)], [.buffered(word, 4)], [.barrier], [.read(word)],
                [.write(word, 1)], [.add(word)],
                [.lock(0), .read(word), .unlock(0)], [.signal],
            ])
        }
    }

    private func random(_ random: inout FuzzGenerator, _ kind: Int) -> [[Step]] {
        (0..<2 + random.below(2)).map { _ in
            (0..<1 + random.below(2)).flatMap { _ in part(kind, &random) }
        }
    }

    @Test(arguments: 0..<20, 0..<5) func `there are as many executions as traces`(
        seed: Int, kind: Int
    ) throws {
        var generator = FuzzGenerator(UInt64(seed) * 1_000 + UInt64(kind))
        for _ in 0..<15 {
            try expectAsManyExecutionsAsTraces(random(&generator, kind))
        }
    }

    private func expectAsManyExecutionsAsTraces(_ program: [[Step]]) throws {
        let expected = count(program)
        let report = try explore(program)
        #expect(
            report.executions == expected.complete + expected.deadlocked,
            "\(program): \(report.executions), not \(expected)")
        #expect(report.deadlocked == expected.deadlocked && report.blocked == 0, "\(program)")
    }

    @Test func `a thread that was woken in time waits for ever later`() throws {
        let waits: [Step] = [
            .lock(0), .wait(seconds: 2), .unlock(0), .lock(0), .wait(seconds: 0), .unlock(0),
        ]
        for program in [
            [waits, [.signal, .signal], [.sleep(seconds: 1)]],
            [waits, [.signal, .signal], [.now]], [waits, [.signal, .now, .signal]],
        ] {
            try expectAsManyExecutionsAsTraces(program)
        }
    }

    /// The counts that `trace-oracle.py` prints for its examples.
    @Test func `the model counts known programs`() {
        let abba: [[Step]] = [
            [.lock(0), .lock(1), .unlock(1), .unlock(0)],
            [.lock(1), .lock(0), .unlock(0), .unlock(1)],
        ]
        #expect(count(abba) == (2, 1))
        let adds: [Step] = Array(repeating: .add(0), count: 4) + [.lock(0), .unlock(0)]
        #expect(count([adds, adds]) == (140, 0))
    }

    // MARK: Real threads

    @Test(arguments: 0..<30) func `what real threads come to is among what is explored`(seed: Int)
        throws
    {
        var generator = FuzzGenerator(UInt64(seed) * 77)
        let words = [0, 1]
        let threads = (0..<2).map { _ in
            (0..<3).map { _ -> Step in
                let word = words[generator.below(2)]
                return generator.pick([
                    .read(word), .write(word, generator.below(3)), .add(word), .compare(word, 0, 5),
                ])
            }
        }
        let explored = Outcomes()
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        _ = try Exploration("real", options: options) { world in
            let log = Seen(threads.count)
            let objects = Objects()
            for (index, steps) in threads.enumerated() {
                world.thread("t\(index)") { log.run(steps, objects, index) }
            }
            world.afterwards { explored.insert(log.text(objects)) }
        }.run()
        for _ in 0..<200 {
            let log = Seen(threads.count)
            let objects = Objects()
            for (index, steps) in threads.enumerated() {
                _ = try WorldThread.spawn(name: "real") { log.run(steps, objects, index) }
            }
            log.wait()
            let outcome = log.text(objects)
            #expect(explored.all.contains(outcome), "\(threads): \(outcome)")
        }
    }

    /// What each thread saw.
    private final class Seen: Sendable {
        private let texts: Synchronization.Mutex<[String]>
        private let left: WaitPoint

        init(_ threads: Int) {
            texts = Synchronization.Mutex(Array(repeating: "", count: threads))
            left = WaitPoint(UInt32(threads))
        }

        func run(_ steps: [Step], _ objects: Objects, _ thread: Int) {
            var text = ""
            for step in steps {
                switch step {
                case .read(let word):
                    text += "\(objects.words[word].value.load(ordering: .sequentiallyConsistent)),"
                case .add(let word):
                    text +=
                        "\(objects.words[word].value.add(1, ordering: .sequentiallyConsistent).oldValue),"
                case .compare(let word, let expected, let new):
                    let (done, original) = objects.words[word].value.compareExchange(
                        expected: expected, desired: new, ordering: .sequentiallyConsistent)
                    text += "\(done) \(original),"
                case .write(let word, let value):
                    objects.words[word].value.store(value, ordering: .sequentiallyConsistent)
                default: break
                }
            }
            let own = text
            texts.withLock { $0[thread] = own }
            if left.word.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
                left.wake()
            }
        }

        func wait() {
            while true {
                let value = left.word.load(ordering: .acquiring)
                if value == 0 { return }
                left.wait(while: value)
            }
        }

        func text(_ objects: Objects) -> String {
            let words = objects.words.map { "\($0.value.load(ordering: .relaxed))" }
            return texts.withLock { $0.joined(separator: " | ") } + " → "
                + words.joined(separator: " ")
        }
    }
}
