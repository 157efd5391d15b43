// SPDX-License-Identifier: Apache-2.0

package import Explorer
import Substrate

/// A small program of threads, made at random.
package struct ThreadProgram: FuzzProgram {
    /// One thing that a thread does. Numbers say to which of a few objects.
    package indirect enum Step: Sendable, CustomStringConvertible {
        case load(Int), store(Int, UInt32), add(Int), exchange(Int), compare(Int, UInt32)
        case asymmetric(Int), barrier, fence
        case locked(Int, Int), nested(Int, Int), tried(Int)
        case wait(Int, seconds: UInt64), signal(Int), broadcast(Int)
        case read(prefersReaders: Bool), write(prefersReaders: Bool), tryRead(prefersReaders: Bool)
        case tryWrite(prefersReaders: Bool)
        case sleep(seconds: UInt64), now
        case park(Int, UInt32, seconds: UInt64), wake(Int, Int), setPoint(Int, UInt32)
        case spin(Int), spinBoth, spinTry(Int), spinWrite, asleep(Int, seconds: UInt64),
            writeAsleep(seconds: UInt64)
        case use(Int), free(Int), allocate
        case readPlain, writePlain, mark(Int)
        case addToEvent, takeFromEvent, lookAtEvent, watchEvent, closeEvent
        case spawn([Step], joins: Bool)

        package var description: String {
            switch self {
            case .load(let word): "load w\(word)"
            case .store(let word, let value): "w\(word) = \(value)"
            case .add(let word): "w\(word) += 1"
            case .exchange(let word): "exchange w\(word)"
            case .compare(let word, let value): "w\(word): \(value) -> own"
            case .asymmetric(let word): "w\(word) =~ own"
            case .barrier: "membarrier"
            case .fence: "fence"
            case .locked(let lock, let word): "lock m\(lock) {w\(word) = own}"
            case .nested(let outer, let inner): "lock m\(outer) {lock m\(inner)}"
            case .tried(let lock): "try m\(lock)"
            case .wait(let condition, let seconds):
                "wait c\(condition)\(seconds > 0 ? " for \(seconds)" : "")"
            case .signal(let condition): "signal c\(condition)"
            case .broadcast(let condition): "broadcast c\(condition)"
            case .read(let prefers): "read\(prefers ? "'" : "")"
            case .write(let prefers): "write\(prefers ? "'" : "")"
            case .tryRead(let prefers): "try read\(prefers ? "'" : "")"
            case .tryWrite(let prefers): "try write\(prefers ? "'" : "")"
            case .sleep(let seconds): "sleep \(seconds)"
            case .now: "now"
            case .park(let point, let value, let seconds):
                "p\(point).wait(while: \(value)\(seconds > 0 ? ", for \(seconds)" : ""))"
            case .wake(let point, let count): "p\(point).wake(\(count))"
            case .setPoint(let point, let value): "p\(point) = \(value)"
            case .spin(let word): "spin until w\(word)"
            case .spinBoth: "spin until w0 looking at w1"
            case .spinTry(let lock): "spin for m\(lock)"
            case .spinWrite: "spin to write"
            case .asleep(let lock, let seconds): "lock m\(lock) {w0 = own; sleep \(seconds)}"
            case .writeAsleep(let seconds): "write {w0 = own; sleep \(seconds)}"
            case .use(let block): "use s\(block)"
            case .free(let block): "free s\(block)"
            case .allocate: "allocate"
            case .readPlain: "read plain"
            case .writePlain: "write plain"
            case .mark(let place): "mark \(place)"
            case .addToEvent: "add to event"
            case .takeFromEvent: "take from event"
            case .lookAtEvent: "look at event"
            case .watchEvent: "watch event"
            case .closeEvent: "close event"
            case .spawn(let steps, let joins):
                "spawn {\(steps.map(\.description).joined(separator: "; "))}\(joins ? " join" : "")"
            }
        }
    }

    package var threads: [[Step]]
    package var isLabelled = true
    package var reusesAddresses = false
    package var isDiscrete = false

    package init(threads: [[Step]]) { self.threads = threads }

    package var description: String {
        let flags =
            (isLabelled ? "" : " unlabelled") + (reusesAddresses ? " reusing" : "")
            + (isDiscrete ? " discrete" : "")
        return threads.map { "[" + $0.map(\.description).joined(separator: "; ") + "]" }.joined(
            separator: " ") + flags
    }

    package func options(_ strategy: ExplorationOptions.Strategy) -> ExplorationOptions {
        var options = ExplorationOptions(strategy: strategy)
        options.reusesAddresses = reusesAddresses
        if isDiscrete { options.time = .discrete }
        return options
    }

    package func exploration(_ options: ExplorationOptions, _ log: FuzzLog) -> Exploration {
        Exploration("fuzz", options: options) { world in
            let state = State(self, log, world)
            world.order("mark 0", before: "mark 1")
            log.begin { state.final }
            for (index, steps) in threads.enumerated() {
                world.thread("t\(index)") { state.run(steps, "t\(index)", index * 100 + 100) }
            }
        }
    }

    /// The number of an object without a label depends on who meets it first.
    package var isExact: Bool { isLabelled && !reusesAddresses }

    package var smaller: [ThreadProgram] {
        var result: [ThreadProgram] = []
        func add(_ threads: [[Step]]) {
            var program = self
            program.threads = threads
            result.append(program)
        }
        for thread in threads.indices {
            var rest = threads
            rest.remove(at: thread)
            if !rest.isEmpty { add(rest) }
            for step in threads[thread].indices {
                var shorter = threads
                shorter[thread].remove(at: step)
                add(shorter)
                for simpler in threads[thread][step].simpler {
                    var other = threads
                    other[thread][step] = simpler
                    add(other)
                }
            }
        }
        if !isLabelled { result.append(with { $0.isLabelled = true }) }
        if isDiscrete { result.append(with { $0.isDiscrete = false }) }
        if reusesAddresses { result.append(with { $0.reusesAddresses = false }) }
        return result
    }

    private func with(_ change: (inout ThreadProgram) -> Void) -> ThreadProgram {
        var copy = self
        change(&copy)
        return copy
    }
}

extension ThreadProgram.Step {
    /// Steps that do less.
    fileprivate var simpler: [Self] {
        switch self {
        case .spawn(let steps, let joins):
            var result = steps.indices.map { index in
                var rest = steps
                rest.remove(at: index)
                return Self.spawn(rest, joins: joins)
            }
            if joins { result.append(.spawn(steps, joins: false)) }
            return result
        case .wait(let condition, let seconds) where seconds > 0:
            return [.wait(condition, seconds: 0)]
        case .park(let point, let value, let seconds) where seconds > 0:
            return [.park(point, value, seconds: 0)]
        case .wake(let point, let count) where count > 1: return [.wake(point, 1)]
        case .locked(let lock, _): return [.tried(lock)]
        case .exchange(let word): return [.store(word, 1)]
        case .add(let word): return [.store(word, 1), .load(word)]
        default: return []
        }
    }
}

extension ThreadProgram {
    /// What the threads of one execution share.
    private final class State: Sendable {
        private struct Block: ~Copyable {
            let word = Atomic<UInt32>(0)
        }

        private let words: [Box<UInt32>]
        private let locks: [Lock]
        private let conditions: [ConditionBox]
        private let readers = RWLock(())
        private let modelled = RWLock((), preferring: .readers)
        private let points: [Point]
        private let blocks: [Storage<Block>]
        private let plain = Unsynchronized(UInt32(0))
        private let event: EventDescriptor?
        private let world: ExploredWorld
        private let log: FuzzLog

        private final class Box<Value: AtomicInteger & Sendable>: Sendable {
            let value: Atomic<Value>
            init(_ value: Value) { self.value = Atomic(value) }
        }
        private final class Lock: Sendable { let value = Mutex(()) }
        private final class ConditionBox: Sendable { let value = Condition() }
        private final class Point: Sendable { let value = WaitPoint() }

        init(_ program: ThreadProgram, _ log: FuzzLog, _ world: ExploredWorld) {
            self.log = log
            self.world = world
            event = program.uses(\.isOfEvent) ? try? EventDescriptor() : nil
            words = (0..<3).map { _ in Box(0) }
            locks = (0..<2).map { _ in Lock() }
            conditions = (0..<2).map { _ in ConditionBox() }
            points = (0..<2).map { _ in Point() }
            blocks =
                program.uses(\.isOfStorage)
                ? (0..<2).map { .allocate(Block(), name: "s\($0)") } : []
            guard program.isLabelled else { return }
            for (index, word) in words.enumerated() { word.value.label("w\(index)") }
            for (index, lock) in locks.enumerated() { lock.value.label("m\(index)") }
            for (index, condition) in conditions.enumerated() { condition.value.label("c\(index)") }
            for (index, point) in points.enumerated() { point.value.label("p\(index)") }
            plain.label("plain")
            readers.label("rw")
            modelled.label("rw'")
        }

        var final: String {
            words.map { "\($0.value.load(ordering: .relaxed))" }.joined(separator: " ")
        }

        func run(_ steps: [Step], _ thread: String, _ own: Int) {
            for (index, step) in steps.enumerated() { run(step, thread, own + index) }
        }

        private func deadline(_ seconds: UInt64) -> WorldClock.Instant? {
            seconds > 0 ? WorldClock.Instant(nanoseconds: 1_000_000_000 * (1 + seconds)) : nil
        }

        private func run(_ step: Step, _ thread: String, _ own: Int) {
            let value = UInt32(own)
            func see(_ result: Any) { log.see(thread, "\(result)") }
            switch step {
            case .load(let word): see(words[word].value.load(ordering: .sequentiallyConsistent))
            case .store(let word, let value):
                words[word].value.store(value, ordering: .sequentiallyConsistent)
            case .add(let word):
                see(words[word].value.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue)
            case .exchange(let word):
                see(words[word].value.exchange(value, ordering: .sequentiallyConsistent))
            case .compare(let word, let expected):
                see(
                    words[word].value.compareExchange(
                        expected: expected, desired: value, ordering: .sequentiallyConsistent))
            case .asymmetric(let word): words[word].value.storeAsymmetric(value)
            case .barrier: membarrier()
            case .fence: atomicMemoryFence(ordering: .sequentiallyConsistent)
            case .locked(let lock, let word):
                locks[lock].value.lock()
                words[word].value.store(value, ordering: .relaxed)
                locks[lock].value.unlock()
            case .nested(let outer, let inner):
                locks[outer].value.lock()
                if outer != inner { locks[inner].value.lock() }
                if outer != inner { locks[inner].value.unlock() }
                locks[outer].value.unlock()
            case .tried(let lock):
                let gets = locks[lock].value.tryLock()
                see(gets)
                if gets { locks[lock].value.unlock() }
            case .wait(let condition, let seconds):
                locks[0].value.lock()
                see(conditions[condition].value.wait(locks[0].value, until: deadline(seconds)))
                locks[0].value.unlock()
            case .signal(let condition): conditions[condition].value.signal()
            case .broadcast(let condition): conditions[condition].value.broadcast()
            case .read(let prefers):
                if prefers {
                    modelled.withReadLock { _ in see(words[0].value.load(ordering: .relaxed)) }
                } else {
                    readers.withReadLock { _ in see(words[0].value.load(ordering: .relaxed)) }
                }
            case .write(let prefers):
                if prefers {
                    modelled.withWriteLock { _ in words[0].value.store(value, ordering: .relaxed) }
                } else {
                    readers.withWriteLock { _ in words[0].value.store(value, ordering: .relaxed) }
                }
            case .tryRead(let prefers):
                see(
                    (prefers
                        ? modelled.withReadLockIfAvailable { _ in 0 }
                        : readers.withReadLockIfAvailable { _ in 0 })
                        != nil)
            case .tryWrite(let prefers):
                see(
                    (prefers
                        ? modelled.withWriteLockIfAvailable { _ in 0 }
                        : readers.withWriteLockIfAvailable { _ in 0 })
                        != nil)
            case .sleep(let seconds): WorldClock.sleep(until: deadline(seconds)!)
            case .now: see(WorldClock.now().nanoseconds / 1_000_000_000)
            case .park(let point, let value, let seconds):
                see(points[point].value.wait(while: value, until: deadline(seconds)))
            case .wake(let point, let count): points[point].value.wake(count)
            case .setPoint(let point, let value):
                points[point].value.word.store(value, ordering: .sequentiallyConsistent)
            case .spin(let word): spin(while: { words[word].value.load(ordering: .acquiring) == 0 })
            case .spinBoth:
                spin(while: {
                    let first = words[0].value.load(ordering: .acquiring)
                    let second = words[1].value.load(ordering: .acquiring)
                    see("\(first) \(second)")
                    return first == 0
                })
            case .spinTry(let lock):
                spin(while: { !locks[lock].value.tryLock() })
                locks[lock].value.unlock()
            case .spinWrite:
                spin(while: {
                    readers.withWriteLockIfAvailable { _ in
                        see(words[0].value.load(ordering: .relaxed))
                    } == nil
                })
            case .asleep(let lock, let seconds):
                locks[lock].value.lock()
                words[0].value.store(value, ordering: .relaxed)
                WorldClock.sleep(until: deadline(seconds)!)
                locks[lock].value.unlock()
            case .writeAsleep(let seconds):
                readers.withWriteLock { _ in
                    words[0].value.store(value, ordering: .relaxed)
                    WorldClock.sleep(until: deadline(seconds)!)
                }
            case .use(let block):
                see(blocks[block].pointee.word.wrappingAdd(1, ordering: .relaxed).oldValue)
            case .free(let block): unsafe blocks[block].free()
            case .allocate:
                let new = Storage.allocate(Block(), name: "new")
                see(blocks.firstIndex { $0 == new } ?? -1)
            case .readPlain: log.seeInPlain(thread, "\(plain.withBorrow { $0 })")
            case .writePlain: plain.withValue { $0 = value }
            case .mark(let place): world.mark("mark \(place)")
            case .addToEvent: see(event!.write(1))
            case .takeFromEvent: see(event!.read())
            case .lookAtEvent: see(event!.readiness.rawValue)
            case .watchEvent:
                // The thread that makes it ready calls it.
                let interest = try? event!.whenReady(for: .readable) { [self] in
                    let old = words[0].value.wrappingAdd(1, ordering: .relaxed).oldValue
                    log.see("ready", "\(old)")
                }
                if own % 2 == 0 { interest?.cancel() }
            case .closeEvent: event!.close()
            case .spawn(let steps, let joins):
                let child = try? WorldThread.spawn(name: "child") { [self] in
                    run(steps, "\(thread).\(own)", own * 10)
                }
                if joins { child?.join() }
            }
        }
    }

    fileprivate func uses(_ isOfKind: (Step) -> Bool) -> Bool {
        threads.contains { $0.contains { $0.contains(isOfKind) } }
    }
}

extension ThreadProgram.Step {
    fileprivate func contains(_ isOfKind: (Self) -> Bool) -> Bool {
        if case .spawn(let steps, _) = self { return steps.contains { $0.contains(isOfKind) } }
        return isOfKind(self)
    }

    fileprivate var isOfStorage: Bool {
        switch self {
        case .use, .free, .allocate: true
        default: false
        }
    }

    fileprivate var isOfEvent: Bool {
        switch self {
        case .addToEvent, .takeFromEvent, .lookAtEvent, .watchEvent, .closeEvent: true
        default: false
        }
    }
}

// MARK: Making them

extension ThreadProgram {
    /// What the steps of a program are taken from: a few kinds together meet more often.
    private static let themes: [@Sendable (inout FuzzGenerator) -> Step] = [
        { random in
            let word = random.below(2)
            return random.pick([
                .load(word), .store(word, 1), .add(word), .exchange(word), .compare(word, 0),
                .compare(word, 1),
                .locked(random.below(2), word), .nested(random.below(2), random.below(2)),
                .tried(random.below(2)),
                .spin(word), .spinBoth, .spinTry(random.below(2)),
            ])
        },
        { random in
            random.pick([
                .wait(
                    random.below(2), seconds: random.below(2) == 0 ? 0 : UInt64(1 + random.below(3))
                ),
                .wait(0, seconds: 0), .signal(0), .signal(random.below(2)), .broadcast(0),
                .locked(0, 0), .load(0),
                .tried(0), .sleep(seconds: UInt64(1 + random.below(3))),
            ])
        },
        { random in
            let point = random.below(3) / 2
            return random.pick([
                .park(point, 0, seconds: 0), .park(point, 0, seconds: UInt64(random.below(3))),
                .wake(point, 1),
                .park(point, UInt32(random.below(2)), seconds: 0), .wake(point, 1),
                .wake(point, 1 + random.below(3)),
                .wake(point, .max), .setPoint(point, UInt32(random.below(2))), .load(0),
            ])
        },
        { random in
            let word = random.below(2)
            return random.pick([
                .asymmetric(word), .asymmetric(word), .barrier, .fence, .load(word),
                .store(word, 7), .add(word),
                .wait(0, seconds: 1), .signal(0), .park(0, 0, seconds: 0), .wake(0, 1),
            ])
        },
        { random in
            let prefers = random.below(3) == 0
            return random.pick([
                .read(prefersReaders: prefers), .write(prefersReaders: prefers),
                .tryRead(prefersReaders: prefers),
                .tryWrite(prefersReaders: prefers), .load(0), .spinWrite, .store(1, 1),
            ])
        },
        { random in
            random.pick([
                .sleep(seconds: UInt64(1 + random.below(3))), .now,
                .asleep(0, seconds: UInt64(1 + random.below(2))),
                .writeAsleep(seconds: 1), .read(prefersReaders: false), .locked(0, 0),
                .wait(0, seconds: UInt64(1 + random.below(2))),
                .park(0, 0, seconds: UInt64(1 + random.below(2))), .signal(0), .wake(0, 1),
                .store(0, 1), .load(0),
            ])
        },
        { random in
            let block = random.below(2)
            return random.pick([
                .use(block), .use(block), .free(block), .allocate, .load(0), .store(0, 1),
            ])
        },
        { random in
            random.pick([
                .readPlain, .readPlain, .writePlain, .locked(0, 0), .mark(0), .mark(1), .load(0),
                .add(0),
            ])
        },
        { random in
            random.pick([
                .addToEvent, .addToEvent, .takeFromEvent, .lookAtEvent, .watchEvent, .closeEvent,
                .load(0),
            ])
        },
    ]

    package static func random(_ random: inout FuzzGenerator, size: Int) -> ThreadProgram {
        let main = random.below(themes.count)
        let other = random.below(4) == 0 ? random.below(themes.count) : main
        func step(_ random: inout FuzzGenerator, _ depth: Int) -> Step {
            if depth < 2, random.below(10) == 0 {
                return .spawn(
                    (0..<1 + random.below(2)).map { _ in step(&random, depth + 1) },
                    joins: random.below(2) == 0)
            }
            return themes[random.below(3) == 0 ? other : main](&random)
        }
        let count = 2 + random.below(2)
        var program = ThreadProgram(
            threads: (0..<count).map { _ in
                (0..<max(1, 1 + random.below(max(1, size / count)))).map { _ in step(&random, 0) }
            })
        program.isLabelled = random.below(4) != 0
        program.reusesAddresses = program.uses(\.isOfStorage) && random.below(2) == 0
        program.isDiscrete = (main == 5 || other == 5 || main == 1) && random.below(3) == 0
        return program
    }
}
