// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// Real threads against each other; also meant for the sanitizers. `QUIESCE_STRESS_ITEMS` says how
/// much is enqueued.
@Suite(.serialized) struct WorkStress {
    private static let total =
        unsafe getenv("QUIESCE_STRESS_ITEMS").flatMap { unsafe Int(String(cString: $0)) } ?? 240_000
    private static let producers = 3

    // MARK: Everything at once

    /// Counts that nothing orders but the queue, for a sanitizer to see.
    private final class Plain: @unchecked Sendable {
        var count = 0
    }

    /// How many there were, and how many are left.
    private final class Lives: Sendable {
        private let made = Atomic(0)
        private let gone = Atomic(0)

        /// Lives as long as the function that captured it.
        final class One: Sendable {
            private let lives: Lives

            init(_ lives: Lives) {
                self.lives = lives
                lives.made.add(1, ordering: .relaxed)
            }

            deinit { lives.gone.add(1, ordering: .releasing) }
        }

        /// Waits until all are gone: a thread that has run a function may keep it for a moment.
        func untilOver() {
            waitUntil { gone.load(ordering: .acquiring) == made.load(ordering: .relaxed) }
        }
    }

    /// What became of an item.
    private final class Tally: Sendable {
        let queued = Atomic(0)
        let cancelled = Atomic(0)
        let runs = Atomic(0)
        let inside = Atomic(0)

        func note(_ answer: Enqueued) { if answer == .queued { queued.add(1, ordering: .relaxed) } }
        func note(wasCancelled: Bool) { if wasCancelled { cancelled.add(1, ordering: .relaxed) } }

        func run(_ body: () -> Void) {
            inside.add(1, ordering: .relaxed)
            body()
            runs.add(1, ordering: .relaxed)
            inside.subtract(1, ordering: .relaxed)
        }

        var isSettled: Bool {
            queued.load(ordering: .relaxed) == runs.load(ordering: .relaxed)
                + cancelled.load(ordering: .relaxed)
        }
    }

    /// Where a queue is that may be replaced.
    private final class Station: Sendable {
        private let current: Mutex<WorkQueue>
        private let make: @Sendable () -> WorkQueue

        init(_ all: AllQueues, _ make: @escaping @Sendable () -> WorkQueue) {
            self.make = { all.note(make()) }
            current = Mutex(self.make())
        }

        var queue: WorkQueue { current.withLock { $0 } }

        func renew() {
            let next = make()
            let old = current.withLock { current in
                defer { current = next }
                return current
            }
            WorkStress.sure { try old.close() }
        }

        func end() { WorkStress.sure { try queue.close() } }
    }

    /// Every queue that was made, kept by others.
    private final class AllQueues: Sendable {
        private let list = Mutex<[Weak]>([])

        private struct Weak {
            weak var queue: WorkQueue?
        }

        func note(_ queue: WorkQueue) -> WorkQueue {
            list.withLock { $0.append(Weak(queue: queue)) }
            return queue
        }

        func untilGone() { waitUntil { list.withLock { $0.allSatisfy { $0.queue == nil } } } }
    }

    private struct Random {
        private var state: UInt64

        init(_ seed: Int) { state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1 }

        /// Less than `bound`.
        mutating func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state >> 33) % bound
        }
    }

    @discardableResult
    private static func sure<Result>(_ body: () throws -> Result) -> Result? {
        do { return try body() } catch {
            Issue.record("\(error)")
            return nil
        }
    }

    /// An item that anybody uses.
    private struct Shared: Sendable {
        let item: Work
        let tally: Tally
        /// Where it is enqueued; nil for anywhere.
        let station: Int?
    }

    /// What the producers do things to.
    private final class Stage: Sendable {
        let queues = AllQueues()
        let lives = Lives()
        /// The first `permanent` stay.
        let stations: [Station]
        let items = Mutex<[Shared]>([])
        let delayed: [(item: DelayedWork, tally: Tally)]
        let ordered = Plain()
        let onOrdered = Atomic(0)
        let functions = Tally()
        let fresh = Tally()
        /// Its items are rescheduled, so it stays open to the end.
        let timed: WorkQueue

        static let permanent = 4

        init() {
            let queues = queues
            stations = [
                Station(queues) { WorkQueue(name: "ordered", .ordered) },
                Station(queues) { WorkQueue(name: "concurrent", .concurrent(limit: 4)) },
                Station(queues) { WorkQueue(name: "urgent", priority: .high) },
                Station(queues) { WorkQueue(name: "computing", isCPUIntensive: true) },
                Station(queues) { WorkQueue(name: "passing", .ordered, priority: .high) },
                Station(queues) { WorkQueue(name: "also passing") },
            ]
            timed = queues.note(WorkQueue(name: "timed"))
            let lives = lives
            delayed = (0..<16).map { _ in
                let (tally, life) = (Tally(), Lives.One(lives))
                return (DelayedWork { tally.run { withExtendedLifetime(life) {} } }, tally)
            }
            items.withLock { $0 = (0..<64).map(makeItem) }
        }

        private func makeItem(_ index: Int) -> Shared {
            let (tally, life) = (Tally(), Lives.One(lives))
            let station = index < 48 ? index % Self.permanent : nil
            let runs = Plain()
            let item = Work(name: "item \(index)") { [self] in
                tally.run {
                    withExtendedLifetime(life) {}
                    if let station {
                        runs.count += 1
                        if station == 0 { countOrdered() }
                    }
                    // The others may run beside themselves, on two queues.
                    let count = station == nil ? tally.runs.load(ordering: .relaxed) : runs.count
                    // Others enqueue it meanwhile, and itself it enqueues now and then. At the end
                    // nobody does.
                    guard count % 8 == 0, let me = items.withLock({ $0.isEmpty ? nil : $0[index] })
                    else { return }
                    tally.note(
                        stations[station ?? count / 8 % stations.count].queue.enqueue(me.item))
                }
            }
            return Shared(item: item, tally: tally, station: station)
        }

        /// On the ordered queue that stays.
        func countOrdered() {
            ordered.count += 1
            onOrdered.add(1, ordering: .relaxed)
        }
    }

    /// What only one producer enqueues and cancels, so that it knows what becomes of it.
    private struct Own {
        let work: Work
        let works = Plain()
        var queued = 0
        let timed: DelayedWork
        let timedTally = Tally()

        init(_ lives: Lives) {
            let (works, life) = (works, Lives.One(lives))
            work = Work { withExtendedLifetime(life) { works.count += 1 } }
            let (tally, other) = (timedTally, Lives.One(lives))
            timed = DelayedWork { tally.run { withExtendedLifetime(other) {} } }
        }
    }

    private static func produce(_ count: Int, _ index: Int, on stage: Stage) -> Tally {
        var random = Random(index + 1)
        var own = Own(stage.lives)
        let items = stage.items.withLock { $0 }
        func anyQueue() -> WorkQueue { stage.stations[random.next(stage.stations.count)].queue }
        for _ in 0..<count {
            let one = items[random.next(items.count)]
            let (item, tally) = (one.item, one.tally)
            switch random.next(64) {
            case ..<34:
                tally.note(
                    (one.station.map { stage.stations[$0].queue } ?? anyQueue()).enqueue(item))
            case ..<44:
                let station = random.next(stage.stations.count)
                stage.functions.note(
                    stage.stations[station].queue.enqueue {
                        stage.functions.run { if station == 0 { stage.countOrdered() } }
                    })
            case ..<50:
                let life = Lives.One(stage.lives)
                let fresh = Work { stage.fresh.run { withExtendedLifetime(life) {} } }
                stage.fresh.note(anyQueue().enqueue(fresh))
            case ..<53: tally.note(wasCancelled: item.cancel())
            case 53:
                tally.note(wasCancelled: item.disable())
                item.enable()
            case 54:
                tally.note(wasCancelled: sure { try item.close() } ?? false)
                if tally.inside.load(ordering: .relaxed) != 0 {
                    Issue.record("an item runs although it is disabled")
                }
                item.enable()
            case 55: tally.note(wasCancelled: sure { try item.cancelAndWait() } ?? false)
            case 56: sure { try item.flush() }
            case 57, 58:
                let (item, tally) = stage.delayed[random.next(stage.delayed.count)]
                switch random.next(8) {
                case 0: tally.note(wasCancelled: item.cancel())
                case 1: tally.note(wasCancelled: sure { try item.cancelAndWait() } ?? false)
                case 2: sure { try item.flush() }
                default:
                    tally.note(anyQueue().enqueue(item, after: .microseconds(random.next(200))))
                }
            case 59:
                own.timedTally.note(
                    stage.timed.reschedule(own.timed, after: .microseconds(random.next(100))))
            case 60:
                let queue = stage.stations[random.next(Stage.permanent)].queue
                if queue.enqueue(own.work) == .queued { own.queued += 1 }
                sure { try own.work.flush() }
                if own.works.count != own.queued {
                    Issue.record("a flush was over before the function")
                }
            case 61:
                if random.next(8) == 0 { sure { try anyQueue().flush() } }
            case 62:
                if random.next(16) == 0 { sure { try anyQueue().drain() } }
            default:
                if random.next(16) == 0 {
                    stage.stations[
                        Stage.permanent + random.next(stage.stations.count - Stage.permanent)
                    ].renew()
                }
            }
        }
        return own.timedTally
    }

    @Test func `what is queued runs once or is cancelled, whatever else happens`() throws {
        var stage: Stage? = Stage()
        let (queues, lives) = (stage!.queues, stage!.lives)
        try { (stage: Stage) in
            let timed = Kept<[Tally]>([])
            try together(Self.producers) { index in
                let tally = Self.produce(Self.total / Self.producers, index, on: stage)
                timed.change { $0.append(tally) }
            }
            // What still runs may enqueue elsewhere: there it is refused, or waited for.
            for station in stage.stations { station.end() }
            try stage.timed.close()
            let items = stage.items.withLock { $0 }
            for (index, one) in items.enumerated() { #expect(one.tally.isSettled, "item \(index)") }
            for one in stage.delayed { #expect(one.tally.isSettled) }
            for one in timed.change({ $0 }) { #expect(one.isSettled) }
            #expect(stage.functions.isSettled)
            #expect(stage.fresh.isSettled)
            #expect(
                stage.ordered.count == stage.onOrdered.load(ordering: .relaxed),
                "an ordered queue ran two at a time")
            stage.items.withLock { $0 = [] }
        }(stage!)
        stage = nil
        lives.untilOver()
        queues.untilGone()
    }

    // MARK: Queues

    /// A worker that runs a function has an item's place left over from what it ran before.
    @Test func `functions follow items that are gone`() throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let plain = Plain()
        let rounds = Self.total / 40
        for _ in 0..<rounds {
            _ = queue.enqueue(Work(name: "item") { plain.count += 1 })
            _ = queue.enqueue { plain.count += 1 }
            try queue.flush()
        }
        try queue.close()
        #expect(plain.count == 2 * rounds)
    }

    @Test func `queues that come and go run everything`() throws {
        let queues = AllQueues()
        let lives = Lives()
        try together(Self.producers) { index in
            var random = Random(index + 100)
            for _ in 0..<Self.total / 100 / Self.producers {
                let tally = Tally()
                var queue: WorkQueue? = queues.note(
                    WorkQueue(
                        name: "queue",
                        random.next(2) == 0 ? .ordered : .concurrent(limit: 1 + random.next(8)),
                        priority: random.next(4) == 0 ? .high : .normal,
                        isCPUIntensive: random.next(4) == 0))
                for _ in 0..<random.next(20) {
                    let life = Lives.One(lives)
                    tally.note(queue!.enqueue(Work { tally.run { withExtendedLifetime(life) {} } }))
                    tally.note(queue!.enqueue { tally.run {} })
                }
                switch random.next(3) {
                case 0:
                    queue = nil
                    waitUntil { tally.isSettled }
                case 1:
                    for _ in 0..<random.next(4) {
                        let life = Lives.One(lives)
                        let item = DelayedWork { tally.run { withExtendedLifetime(life) {} } }
                        tally.note(queue!.enqueue(item, after: .seconds(3600)))
                    }
                    Self.sure { try queue!.close() }
                default:
                    Self.sure { try queue!.drain() }
                    if !tally.isSettled { Issue.record("a drain ended early") }
                    Self.sure { try queue!.close() }
                }
                if !tally.isSettled { Issue.record("something was lost") }
            }
        }
        lives.untilOver()
        queues.untilGone()
    }

    @Test func `several destroy a queue that others fill`() throws {
        let queues = AllQueues()
        for round in 0..<Self.total / 1000 {
            let queue = queues.note(
                WorkQueue(name: "queue", round % 2 == 0 ? .ordered : .concurrent()))
            let tally = Tally()
            try together(4) { index in
                if index < 2 {
                    let item = Work { tally.run {} }
                    for _ in 0..<50 {
                        tally.note(
                            index == 0 ? queue.enqueue(item) : queue.enqueue { tally.run {} })
                    }
                } else {
                    Self.sure { try queue.close() }
                    if tally.inside.load(ordering: .relaxed) != 0 {
                        Issue.record("a destroyed queue runs an item")
                    }
                }
            }
            #expect(tally.isSettled)
        }
        queues.untilGone()
    }

    // MARK: Blocking

    /// Items block and go on, and some that do not say so are found stuck, while others end and
    /// arrive.
    @Test func `items that block are counted again when they go on`() async {
        await #expect(processExitsWith: .success) {
            let pool = WorkerPool(size: 2, rescueDelay: .microseconds(50))
            _ = World.current.value(WorkerPool.key) { pool }
            let queues = (0..<3).map {
                WorkQueue(name: "queue \($0)", priority: $0 == 0 ? .high : .normal)
            }
            let runs = Runs()
            let total = WorkStress.total / 100
            try together(2) { index in
                var random = Random(index + 200)
                for _ in 0..<total {
                    // What an item waits for is enqueued after it.
                    let semaphore = DispatchSemaphore(value: 0)
                    let (here, there) = (queues[random.next(3)], queues[random.next(3)])
                    switch random.next(4) {
                    case 0: _ = here.enqueue { semaphore.wait() }
                    case 1: _ = here.enqueue { withBlocking { semaphore.wait() } }
                    case 2:
                        _ = here.enqueue {
                            withBlocking { WorldClock.sleep(for: .microseconds(1)) }
                            semaphore.wait()
                        }
                    default: _ = here.enqueue { withBlocking { withBlocking { semaphore.wait() } } }
                    }
                    _ = there.enqueue {
                        runs.count()
                        semaphore.signal()
                    }
                }
            }
            for queue in queues { try await queue.close() }
            #expect(runs.total == 2 * total)
            waitUntil { pool.census.running == 0 }
            #expect(pool.census.idle == pool.census.workers)
        }
    }

    // MARK: Objects

    private final class Object: ReferenceCounted {
        static var isUsableAfterRelease: Bool { true }
        let referenceCount = ReferenceCount()
        let work: ObjectWork<Object>
        let releases: Tally
        private let life: Lives.One

        init(_ releases: Tally, _ lives: Lives, on queue: WorkQueue) {
            self.releases = releases
            life = Lives.One(lives)
            let hasRun = Atomic(false)
            work = ObjectWork { object in
                guard !hasRun.exchange(true, ordering: .relaxed) else { return }
                // The reference goes along, and comes back where it is not needed.
                let item = object.withObject { $0.work }
                _ = queue.enqueue(item, object)
            }
        }

        func release() { releases.runs.add(1, ordering: .relaxed) }
    }

    @Test func `every reference that is given to a queue comes back`() throws {
        let queues = AllQueues()
        let lives = Lives()
        let releases = Tally()
        try {
            let all = [WorkQueue(name: "ordered", .ordered), WorkQueue(name: "concurrent")].map(
                queues.note)
            let table = Kept<Object?>(nil)
            try together(Self.producers) { index in
                var random = Random(index + 200)
                for _ in 0..<Self.total / 10 / Self.producers {
                    let object = Object(releases, lives, on: all[random.next(2)])
                    releases.queued.add(1, ordering: .relaxed)
                    let reference = Reference(object)
                    // Others find it, while it lives.
                    let other = table.change { held in
                        defer { held = object }
                        return held
                    }
                    _ = all[random.next(2)].enqueue(object.work, reference.share())
                    switch random.next(4) {
                    case 0: object.work.cancel()
                    case 1:
                        _ = all[0].enqueue(
                            object.work, reference.share(), after: .microseconds(random.next(50)))
                    default: break
                    }
                    if let found = other?.tryReference() {
                        let work = found.withObject { $0.work }
                        _ = all[random.next(2)].enqueue(work, found)
                        if random.next(4) == 0 { Self.sure { try work.close() } }
                    }
                }
            }
            for queue in all { try queue.close() }
        }()
        #expect(releases.isSettled, "a reference was lost, or given back twice")
        lives.untilOver()
        queues.untilGone()
    }

    // MARK: Cost

    @Test func `items that block let as many run as there are`() throws {
        let queue = WorkQueue(name: "queue")
        let started = WaitPoint.Count()
        for _ in 0..<200 {
            _ = queue.enqueue {
                started.add()
                started.wait(for: 200)
            }
        }
        // Else it would never end.
        try queue.flush()
        #expect(queue.pool.census.workers >= 200)
        let runs = Runs()
        for _ in 0..<10_000 { _ = queue.enqueue { runs.count() } }
        try queue.close()
        #expect(runs.total == 10_000)
        waitUntil { queue.pool.census.idle > 0 }
        #expect(queue.pool.census.workers >= queue.pool.census.idle)
    }

    /// How many threads of the process have this name.
    private func threads(named name: String) -> Int {
        guard let folder = unsafe opendir("/proc/self/task") else { return 0 }
        defer { unsafe closedir(folder) }
        var count = 0
        while let entry = unsafe readdir(folder) {
            let id = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            guard let file = unsafe fopen("/proc/self/task/\(id)/comm", "r") else { continue }
            defer { unsafe fclose(file) }
            var line = [CChar](repeating: 0, count: 32)
            guard unsafe fgets(&line, 32, file) != nil else { continue }
            if String(
                decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                == name + "\n"
            {
                count += 1
            }
        }
        return count
    }

    @Test func `ten thousand timers cost one thread`() throws {
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let items = (0..<10_000).map { _ in DelayedWork { runs.count() } }
        for (index, item) in items.enumerated() {
            _ = queue.enqueue(item, after: .seconds(3600 + index))
        }
        #expect(threads(named: "timers") == 1)
        for item in items.prefix(5_000) { #expect(item.cancel()) }
        for item in items.dropFirst(9_000) { try item.flush() }
        #expect(runs.total == 1_000)
        for item in items.dropFirst(5_000) { item.cancel() }
        #expect(items.allSatisfy { !$0.isPending })
        try queue.close()
        #expect(runs.total == 1_000)
    }

    /// Whether each byte of memory takes several, and each access long.
    private var isSanitized: Bool {
        unsafe dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil
    }

    @Test func `a pending function costs at most 64 bytes`() throws {
        let count = isSanitized ? 10_000 : 1_000_000
        var least = Int.max
        // Other tests allocate meanwhile, and seldom as much each time.
        for _ in 0..<3 where least > 64 * count {
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Runs()
            let isOver = WaitPoint.Shared()
            _ = queue.enqueue { isOver.wait(for: 1) }
            let function: @Sendable () -> Void = { runs.count() }
            let before = processMemory()?.resident
            for _ in 0..<count { _ = queue.enqueue(function) }
            if let before, let after = processMemory()?.resident {
                least = min(least, after - before)
            }
            isOver.advance(to: 1)
            try queue.close()
            #expect(runs.total == count)
            waitUntil { queue.serving.withLock { $0.servers.isEmpty } }
            let kept = queue.serving.withLock {
                $0.list.capacity + queue.intake.withLock { $0.list.capacity }
            }
            #expect(kept <= 2 << 18)
        }
        #expect(least <= 64 * count || isSanitized)
    }
}

/// What threads share.
private final class Kept<Value: Sendable>: Sendable {
    private let held: Mutex<Value>

    init(_ value: Value) { held = Mutex(value) }

    func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        held.withLock { body(&$0) }
    }
}
