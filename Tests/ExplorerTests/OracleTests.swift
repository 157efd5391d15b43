// SPDX-License-Identifier: Apache-2.0

import Explorer
import Fuzzing
import Substrate
import Synchronization
import Testing

/// Programs whose traces are counted a second time, by a model that shares nothing with the explorer.
///
/// The strategies share the machines, so that they cannot check them. The model interprets a program by itself, runs every interleaving, and
/// tells executions apart by what each object saw: its sequence of writes, with the sets of reads between them.
@Suite struct OracleTests {
    private enum Step: CustomStringConvertible {
        case read(Int), write(Int, Int), add(Int), compare(Int, Int, Int)
        case lock(Int), unlock(Int), wait, signal

        var description: String {
            switch self {
            case .read(let word): "r\(word)"
            case .write(let word, let value): "w\(word)=\(value)"
            case .add(let word): "f\(word)"
            case .compare(let word, let expected, let new): "c\(word):\(expected)>\(new)"
            case .lock(let lock): "l\(lock)"
            case .unlock(let lock): "u\(lock)"
            case .wait: "wait"
            case .signal: "signal"
            }
        }
    }

    // MARK: The model

    private struct Model: Hashable {
        var words = [0, 0]
        var owners = [-1, -1]
        var waiters: [Int] = []
        var positions: [Int]
        /// Who waits to acquire the lock again.
        var isReacquiring: [Bool]
        /// By object: groups of writes, each alone, and of reads.
        var traces: [[Set<String>]] = Array(repeating: [], count: 5)
        var kinds: [[Bool]] = Array(repeating: [], count: 5)
        var steps: [Int]

        mutating func access(_ object: Int, writes: Bool, _ event: String) {
            if !writes, kinds[object].last == false {
                traces[object][traces[object].count - 1].insert(event)
            } else {
                traces[object].append([event])
                kinds[object].append(writes)
            }
        }
    }

    private static let condition = 4

    /// How many traces end well, and in a deadlock.
    private func count(_ program: [[Step]]) -> (complete: Int, deadlocked: Int) {
        let start = Model(
            positions: program.map { _ in 0 }, isReacquiring: program.map { _ in false }, steps: program.map { _ in 0 })
        var level: Set<Model> = [start]
        var (complete, deadlocked) = (0, 0)
        while !level.isEmpty {
            var following: Set<Model> = []
            for model in level {
                let next = successors(of: model, program)
                if next.isEmpty {
                    let isDone = program.indices.allSatisfy { model.positions[$0] == program[$0].count }
                    if isDone { complete += 1 } else { deadlocked += 1 }
                }
                following.formUnion(next)
            }
            level = following
        }
        return (complete, deadlocked)
    }

    private func successors(of model: Model, _ program: [[Step]]) -> [Model] {
        var result: [Model] = []
        for thread in program.indices where model.positions[thread] < program[thread].count {
            let step = program[thread][model.positions[thread]]
            var next = model
            let event = "\(thread).\(model.steps[thread])"
            next.steps[thread] += 1
            next.positions[thread] += 1
            switch step {
            case .read(let word): next.access(word, writes: false, event)
            case .write(let word, let value):
                next.words[word] = value
                next.access(word, writes: true, event)
            case .add(let word):
                next.words[word] += 1
                next.access(word, writes: true, event)
            case .compare(let word, let expected, let new):
                let succeeds = model.words[word] == expected
                if succeeds { next.words[word] = new }
                next.access(word, writes: succeeds, event)
            case .lock(let lock):
                if model.owners[lock] >= 0 { continue }
                next.owners[lock] = thread
                next.access(2 + lock, writes: true, event)
            case .unlock(let lock):
                next.owners[lock] = -1
                next.access(2 + lock, writes: true, event)
            case .wait:
                if model.isReacquiring[thread] {
                    if model.waiters.contains(thread) || model.owners[0] >= 0 { continue }
                    next.isReacquiring[thread] = false
                    next.owners[0] = thread
                    next.access(2, writes: true, event)
                } else {
                    next.isReacquiring[thread] = true
                    next.positions[thread] -= 1
                    next.owners[0] = -1
                    next.waiters = (model.waiters + [thread]).sorted()
                    next.access(Self.condition, writes: true, event)
                    next.access(2, writes: true, event)
                }
            case .signal:
                if model.waiters.count > 1 {
                    for waiter in model.waiters {
                        var chosen = next
                        chosen.waiters.removeAll { $0 == waiter }
                        chosen.access(Self.condition, writes: true, "\(event) wakes \(waiter)")
                        result.append(chosen)
                    }
                    continue
                }
                next.waiters = []
                next.access(Self.condition, writes: true, event)
            }
            result.append(next)
        }
        return result
    }

    // MARK: The program

    private final class Objects: Sendable {
        let words = [Word("w0"), Word("w1")]
        let locks = [Lock("m0"), Lock("m1")]
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

        func run(_ step: Step) {
            switch step {
            case .read(let word): _ = words[word].value.load(ordering: .relaxed)
            case .write(let word, let value): words[word].value.store(value, ordering: .relaxed)
            case .add(let word): words[word].value.add(1, ordering: .relaxed)
            case .compare(let word, let expected, let new):
                _ = words[word].value.compareExchange(expected: expected, desired: new, ordering: .relaxed)
            case .lock(let lock): locks[lock].value.lock()
            case .unlock(let lock): locks[lock].value.unlock()
            case .wait: condition.wait(locks[0].value)
            case .signal: condition.signal()
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
                world.thread("t\(index)") { for step in steps { objects.run(step) } }
            }
        }.run()
    }

    private func random(_ random: inout FuzzGenerator) -> [[Step]] {
        (0..<2 + random.below(2)).map { _ in
            (0..<1 + random.below(2)).flatMap { _ -> [Step] in
                let word = random.below(2)
                return random.pick([
                    [.read(word)], [.write(word, random.below(3))], [.add(word)], [.compare(word, random.below(2), 5)],
                    [.lock(0), .read(word), .unlock(0)], [.lock(1), .lock(0), .unlock(0), .unlock(1)],
                    [.lock(0), .lock(1), .unlock(1), .unlock(0)], [.lock(0), .wait, .unlock(0)], [.signal],
                    [.lock(0), .signal, .unlock(0)],
                ])
            }
        }
    }

    @Test(arguments: 0..<20) func `there are as many executions as traces`(seed: Int) throws {
        var generator = FuzzGenerator(UInt64(seed) * 1_000 + 3)
        for _ in 0..<20 {
            let program = random(&generator)
            let expected = count(program)
            let report = try explore(program)
            #expect(report.executions == expected.complete + expected.deadlocked, "\(program)")
            #expect(report.deadlocked == expected.deadlocked && report.blocked == 0, "\(program)")
        }
    }

    /// The counts that `trace-oracle.py` prints for its examples.
    @Test func `the model counts known programs`() {
        let abba: [[Step]] = [
            [.lock(0), .lock(1), .unlock(1), .unlock(0)], [.lock(1), .lock(0), .unlock(0), .unlock(1)],
        ]
        #expect(count(abba) == (2, 1))
        let adds: [Step] = Array(repeating: .add(0), count: 4) + [.lock(0), .unlock(0)]
        #expect(count([adds, adds]) == (140, 0))
    }

    // MARK: Real threads

    @Test(arguments: 0..<30) func `what real threads come to is among what is explored`(seed: Int) throws {
        var generator = FuzzGenerator(UInt64(seed) * 77)
        let words = [0, 1]
        let threads = (0..<2).map { _ in
            (0..<3).map { _ -> Step in
                let word = words[generator.below(2)]
                return generator.pick([.read(word), .write(word, generator.below(3)), .add(word), .compare(word, 0, 5)])
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
                _ = try Thread.spawn(name: "real") { log.run(steps, objects, index) }
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
                case .read(let word): text += "\(objects.words[word].value.load(ordering: .sequentiallyConsistent)),"
                case .add(let word):
                    text += "\(objects.words[word].value.add(1, ordering: .sequentiallyConsistent).oldValue),"
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
            if left.word.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { left.wake() }
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
            return texts.withLock { $0.joined(separator: " | ") } + " → " + words.joined(separator: " ")
        }
    }
}
