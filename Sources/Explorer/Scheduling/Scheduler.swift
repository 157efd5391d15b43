// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// Runs the threads of a program as fibers on one thread of the system, one step at a time, as a
/// strategy picks.
///
/// A thread runs until its next operation, says what it will be, and waits to be picked. What it
/// does up to the operation after that is part of the step. Every object, thread and clock of an
/// execution is new.
@safe
final class Scheduler: Observer, @unchecked Sendable {
    // Unchecked: all its threads are fibers of the one thread that explores.

    enum Mode {
        case idle
        /// Steps are picked and recorded.
        case exploring
        /// The execution was cut and runs on to its end, fairly and unrecorded.
        case finishing
        /// The execution is over; what is left of its threads runs to its end with every wait
        /// granted.
        case draining
        /// Every thread has ended; the program checks its result.
        case afterwards
    }

    let options: ExplorationOptions
    /// Who picks. Used at every step, so without a retain; whoever sets it keeps it.
    private(set) var strategy = Borrowed<Strategy>()
    /// The events of the execution, for a strategy that reduces. Those before `replayedSteps` are
    /// the last execution's, which this one repeats.
    let history = History()
    private(set) var keepsHistory = false
    var replayedSteps = 0
    var mode = Mode.idle {
        didSet { notePlainness() }
    }
    /// Whether a step has no consequences beyond its event: nobody records or spins, no memory can
    /// be freed, nothing is mutated, and time does not pass by itself.
    private(set) var isPlain = false

    // Threads
    let threads: ThreadTable
    /// The running thread; -1 while none runs.
    var current: Int32 = -1
    let host = Fiber.host()
    let traps = TrapCatcher()
    /// What tasks need.
    let jobs = JobState()
    /// Whether the runtime announces jobs. Else a task that has stopped may be waiting or over, and
    /// its memory gone.
    let seesAll: Bool

    // The execution
    let objects = ObjectTable()
    let sync = SyncClocks()
    let storages = StorageTable()
    let stores = StoreBuffers()
    /// By thread: what its spin loop's condition has touched in the present round.
    var spinReads: [Footprint] = []
    var spinnerCount = 0 {
        didSet { notePlainness() }
    }
    /// At the end: the steps that blocked threads would have taken.
    let blockedSteps = Stack<Event>(capacity: 16)
    /// By thread: the operation that it is inside of.
    let openOperations = Stack<OpenOperation>(capacity: 32)
    /// The subject whose parts are being labelled, -1 for none.
    var labelledSubject: Int32 = -1
    var readSections: [ReadSection] = []
    /// Where the running thread's atomic operation is.
    var pendingSite = Site("", 0)
    /// While recording, where each thread's next step is.
    var pendingSites: [Int: Site] = [:]
    var timerCount = 0
    /// What the step that is being taken has changed.
    let changes = Stack<StateChange>(capacity: 16)
    /// What the explorer itself has done wrong, if anything.
    var defect: String?
    var time: UInt64 = 0
    /// Where time is discrete: what stands for its passing, and when it passed last.
    private var timeThread: Int32 = -1
    var lastTick: Int32 = -1
    /// Steps taken, which are the events of the execution while it is explored.
    var steps = 0
    var choice: Int32 = -1
    var outcome = Outcome.complete
    let schedule = Stack<UInt32>(capacity: 256)
    var verdict: Verdict?
    var divergence: Divergence?
    /// Whether the collections below hold something of this execution. They are not asked at every
    /// one.
    var needsTidying = false
    var hasAfterwards = false
    var labels: [Int32: String] = [:]
    var marks: Set<String> = []
    var constraints: [OrderConstraint] = []
    var afterwardsBodies: [() -> Void] = []
    var world: World?
    private var drainSteps = 0
    /// Counts steps for the watchdog; read by another thread.
    let heartbeat: Heartbeat

    /// What this execution observes, and what the next one will.
    var attention = Attention()
    var wanted = Attention()
    /// Timers that were stopped before they fired.
    let stoppedTimers = Stack<StoppedTimer>(capacity: 8)
    /// The last step, as it was committed.
    var lastEvent = Event(thread: -1, kind: .touch)
    /// What is changed in the program under test.
    let mutant: Mutant?
    private(set) var recorder: Recorder?
    /// Fibers that did not end even when every wait was granted.
    private(set) var abandoned = 0

    init(_ options: ExplorationOptions) {
        self.options = options
        threads = ThreadTable(limit: options.threadLimit)
        mutant = options.mutation.map { Mutant($0) }
        seesAll = JobCapture.isAnnounced && !options.isLimitedToExecutors
        heartbeat = Heartbeat(threadID: quiesce_thread_id())
        super.init()
    }

    deinit {
        jobs.destroyCarriers()
        host.destroy()
    }

    var isRecordingTrace: Bool { recorder != nil }

    func use(_ strategy: Strategy) {
        self.strategy = Borrowed(strategy)
        keepsHistory = strategy.keepsHistory
        history.removeAll()
        replayedSteps = 0
    }

    func notePlainness() {
        isPlain =
            mode == .exploring && recorder == nil && mutant == nil && spinnerCount == 0
            && storages.isEmpty && options.time == .any
    }

    func record(_ recorder: Recorder) {
        self.recorder = recorder
        wanted.names = true
        isRecording = true
    }

    /// Runs `body` with traps of this thread's fibers caught.
    func withTrapsCaught<Result>(_ body: () throws -> Result) rethrows -> Result {
        try traps.catching(self, host: host, body)
    }

    /// Says where the process is about to die. Runs in a signal handler: allocates nothing.
    func reportFatal() {
        unsafe quiesce_report_fatal(
            schedule.isEmpty ? nil : schedule.address(of: 0), Int32(schedule.count))
    }

    // MARK: One execution

    /// What an execution begins with.
    enum Beginning {
        /// The main thread runs this.
        case thread(@Sendable () -> Void)
        /// Calling this on the explorer's own stack starts the main task.
        case task(() -> Void)
    }

    /// Runs one execution and returns how it ended.
    func runExecution(_ beginning: Beginning) -> Outcome {
        reset()
        // Fresh, unless nothing was put into the last one.
        if world?.isPristine != true || !isKnownUniquelyReferenced(&world) {
            world = World(processorCount: options.processorCount)
        }
        strategy.with { $0.beginExecution() }
        mode = .exploring
        outcome = .complete
        switch beginning {
        case .thread(let body): enter(startThread(name: "main", isService: false, parent: -1, body))
        case .task(let start): if startMainTask(start) { enterCarrier() }
        }
        runToEnd()
        if mode == .finishing { mode = .draining }
        if outcome == .complete, divergence == nil {
            runAfterwards()
            if verdict == nil { checkLeaks() }
        }
        if verdict == nil { judge() }
        if outcome != .blocked, !mustRepeat, let concluded = options.concluded {
            concluded(verdict?.kind)
        }
        drain()
        mode = .idle
        release()
        return outcome
    }

    private func reset() {
        objects.beginExecution()
        attention = wanted
        labelledSubject = -1
        if attention.races { sync.beginExecution() }
        if jobs.isUsed { resetJobs() }
        threads.beginExecution()
        stores.beginExecution()
        blockedSteps.removeAll()
        schedule.truncate(
            to: options.time == .discrete ? 0 : min(schedule.count, replayedSteps))
        spinnerCount = 0
        timerCount = 0
        changes.removeAll()
        time = Self.beginning
        lastTick = -1
        steps = 0
        choice = -1
        verdict = nil
        divergence = nil
        if needsTidying { tidy() }
        recorder?.removeAll()
    }

    /// When an execution begins.
    static let beginning: UInt64 = 1_000_000_000

    private func tidy() {
        needsTidying = false
        labels.removeAll(keepingCapacity: true)
        marks.removeAll(keepingCapacity: true)
        constraints.removeAll(keepingCapacity: true)
        readSections.removeAll(keepingCapacity: true)
        pendingSites.removeAll(keepingCapacity: true)
    }

    /// Lets go of everything that belongs to the execution. What ends so does what it does at its
    /// end, as far as nobody is there to see it.
    private func release() { capturing { releaseAll() } }

    private func releaseAll() {
        threads.releaseBodies()
        if hasAfterwards {
            hasAfterwards = false
            afterwardsBodies.removeAll(keepingCapacity: true)
        }
        if !storages.isEmpty { storages.destroyAll() }
    }

    /// Runs until the execution is over, taking up again after each trap.
    private func runToEnd() {
        while let trap = traps.take() {
            let thread = current
            guard thread >= 0 else {
                fatalError("the Swift runtime trapped while it scheduled explored jobs")
            }
            noteTrap(thread, trap)
            let starter = threads[thread].starter
            threads[thread].starter = -1
            if starter < 0, jobs.hasChores {
                enterCarrier()
                continue
            }
            let next = starter >= 0 ? starter : pick()
            if next < 0 { break }
            enter(next)
        }
    }

    /// Switches from the explorer's own stack to `thread`.
    private func enter(_ thread: Int32) {
        current = thread
        enter(fiber(of: thread))
    }

    func enter(_ fiber: Fiber) {
        traps.runs(fiber)
        host.switchTo(fiber)
        traps.runs(nil)
    }

    /// The fiber to switch to in order to run `thread`.
    @inline(__always)
    private func fiber(of thread: Int32) -> Fiber {
        if threads[thread].isFresh { return carrier() }
        return threads[thread].fiber!
    }

    /// Switches from one thread to another.
    @inline(__always)
    func transfer(from: Int32, to: Int32) {
        current = to
        let fiber = fiber(of: to)
        traps.runs(fiber)
        threads[from].fiber!.switchTo(fiber)
    }

    /// Gives control back to the explorer. Returns only if `thread` is drained.
    func leave(_ thread: Int32) {
        threads[thread].fiber!.switchTo(host)
    }

    /// Picks who runs next, flushing store buffers on the way. -1 when the execution is over.
    @inline(__always)
    func pick() -> Int32 {
        while true {
            let decision: Strategy.Decision
            if isPlain, steps < replayedSteps {
                decision = .init(thread: history[steps].thread, choice: history.choice(steps))
            } else {
                if steps >= options.stepLimit { cut() }
                if options.time == .discrete, timePasses() { continue }
                decision = mode == .exploring ? strategy.with { $0.choose() } : fairDecision()
                guard decision.thread >= 0 else {
                    conclude(decision)
                    return -1
                }
            }
            choice = decision.choice
            // What is repeated is in the schedule already.
            if steps >= schedule.count || options.time == .discrete {
                schedule.append(
                    decision.choice < 0 && !threads[decision.thread].isBuffer
                        ? UInt32(threads[decision.thread].spawnIndex) : encode(decision))
            }
            guard threads[decision.thread].isBuffer else { return decision.thread }
            flush(decision.thread)
        }
    }

    /// `thread` has said what it will do next: waits until it is picked.
    @inline(__always)
    func park(_ thread: Int32) {
        heartbeat.tick()
        if recorder != nil { nameObject(of: thread) }
        let starter = threads[thread].starter
        if starter >= 0 {
            // The first step is known: whoever spawned this thread goes on.
            threads[thread].starter = -1
            transfer(from: thread, to: starter)
            return
        }
        waitForTurn(thread)
    }

    /// Somebody is picked and runs; returns when that is `thread`, at once or later.
    @inline(__always)
    func waitForTurn(_ thread: Int32) {
        if jobs.isUsed, jobs.hasChores { return waitForChores(thread) }
        let next = pick()
        if next == thread { return }
        if next < 0 { leave(thread) } else { transfer(from: thread, to: next) }
    }

    /// Where time is discrete and nobody can run, time passes up to the next deadline. False where
    /// there is none.
    private func timePasses() -> Bool {
        guard timerCount > 0, mode != .draining else { return false }
        var next = UInt64.max
        for thread in 0..<threads.count {
            if isEnabled(thread) { return false }
            if threads[thread].armed >= 0, threads[thread].state == .parked {
                next = min(next, threads[thread].deadline)
            }
        }
        guard next < .max, next > time else { return false }
        time = next
        if timeThread < 0 { timeThread = threads.add(parent: -1) }
        var step = Step(thread: timeThread, kind: .tick)
        step.deadline = next
        lastTick = commit(Event(step), site: Site("", 0))
        return true
    }

    private func encode(_ decision: Strategy.Decision) -> UInt32 {
        let record = threads[decision.thread]
        let index = record.isBuffer ? threads[record.bufferLink].spawnIndex : record.spawnIndex
        let chosen = decision.choice < 0 ? 0 : threads[decision.choice].spawnIndex + 1
        return ScheduleStep(thread: Int(index), isFlush: record.isBuffer, choice: Int(chosen) - 1)
            .encoded
    }

    private func conclude(_ decision: Strategy.Decision) {
        // An execution that was cut stays so, however it runs on.
        guard mode == .exploring else { return }
        if decision.thread == -2 {
            outcome = .blocked
            return
        }
        outcome = .complete
        for thread in 0..<Int(threads.count) {
            if threads[thread].state == .parked && !threads[thread].mayWaitForEver
                && !threads[thread].isBuffer
                || threads[thread].state == .suspended
            {
                outcome = .deadlocked
            }
        }
        noteBlocked()
    }

    private func cut() {
        if mode == .exploring {
            outcome = .cut
            mode = .finishing
        } else if mode == .finishing, steps >= options.stepLimit * 2 + 10_000 {
            mode = .draining
        }
    }

    /// Stops exploring this execution: the program is not the one that was recorded.
    func diverge(_ divergence: Divergence) {
        self.divergence = divergence
        outcome = .cut
        mode = .finishing
    }

    /// While an execution that was cut runs on: everybody in turn, so that loops which wait for
    /// others end.
    private func fairDecision() -> Strategy.Decision {
        guard mode == .finishing else { return .nobody }
        var thread = current
        for _ in 0..<threads.count {
            thread = thread + 1 < threads.count ? thread + 1 : 0
            if isEnabled(thread) { return .init(thread: thread, choice: firstChoice(of: thread)) }
        }
        return .nobody
    }

    // MARK: Threads

    /// Starts a thread and runs it up to its first operation, so that everybody knows what it will
    /// do.
    func spawnThread(name: String, isService: Bool, _ body: @escaping @Sendable () -> Void) -> Int32
    {
        guard mode == .exploring || mode == .finishing else {
            fail(.misuse, "a thread was started after every thread had ended")
            return -1
        }
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
            recorder?.describe(old: "", new: name)
        }
        let child = startThread(name: name, isService: isService, parent: parent, body)
        threads[child].starter = parent
        transfer(from: parent, to: child)
        return child
    }

    /// Makes a thread known, parked before its first instruction.
    func startThread(
        name: String, isService: Bool, parent: Int32, _ body: @escaping @Sendable () -> Void
    ) -> Int32 {
        let thread = threads.start(by: parent)
        if attention.names { threads.names[Int(thread)] = name }
        threads[thread].state = .parked
        threads[thread].isService = isService
        threads[thread].origin = parent >= 0 ? lastPosition(of: parent) : -1
        threads[thread].kind = .touch
        if attention.races, parent >= 0 { sync.spawn(thread, by: parent) }
        threads[thread].body.fill(body)
        let fiber = threads[thread].fiber ?? .make()
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
            for body in afterwardsBodies { body() }
            leave(thread)
        }
        threads[thread].body.run()
        endThread(thread)
        fatalError("an ended thread was resumed")
    }

    private func endThread(_ thread: Int32) {
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

    // MARK: The end of an execution

    private func noteTrap(_ thread: Int32, _ trap: quiesce_trap) {
        suspendOperation(of: thread)
        threads[thread].state = .dead
        let report = TrapReport(trap, fiber: threads[thread].fiber!)
        if attention.steps.creations, mode == .exploring, report.isStuck || report.isSecondLock {
            // If it was not the extra steps that did it, it will be seen without them.
            wanted.steps.creations = false
            wanted.steps.forbidsCreations = true
            return
        }
        if mode == .exploring || mode == .afterwards {
            recorder?.note(
                thread: thread, .note("✗ \(report.isStuck ? "stuck" : "trap")"), site: nil)
            fail(
                report.isStuck ? .blockedOutside : report.isSecondResume ? .resumedTwice : .trap,
                report.sentence(thread: name(ofThread: thread))
                    + (recorder?.lastPlace(of: thread) ?? ""),
                steps: recorder.map { [$0.count - 1] } ?? [])
            if report.isStuck { mustStop = true }
        }
    }

    /// Whether going on makes no sense: every further execution would block outside Substrate
    /// again.
    private(set) var mustStop = false

    private func runAfterwards() {
        guard hasAfterwards else { return }
        mode = .afterwards
        runAside(name: "afterwards") {}
    }

    /// Lets every thread that has not ended run to its end, every wait granted, so that its stack
    /// unwinds.
    ///
    /// In turns of a few operations, since what one thread waits for another may still do.
    private func drain() {
        mode = .draining
        if jobs.isUsed { cancelTasks() }
        var isLeft = isAnyParked
        var rounds = options.drainLimit / Scheduler.drainTurn + 1
        while isLeft, rounds > 0 {
            rounds -= 1
            for thread in 0..<threads.count where isDrainable(thread) {
                drainSteps = 0
                enter(thread)
                if traps.take() != nil { threads[thread].state = .dead }
            }
            isLeft = isAnyParked
        }
        guard isLeft else { return }
        for thread in 0..<threads.count where isDrainable(thread) {
            threads[thread].state = .dead
            abandoned += 1
        }
    }

    /// Runs `body` on a fiber of its own when nobody else can run.
    func runAside(name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = startThread(name: name, isService: true, parent: 0, body)
        enter(thread)
        if let trap = traps.take() { noteTrap(thread, trap) }
        threads[thread].state = .finished
    }

    private static let drainTurn = 20

    private func isDrainable(_ thread: Int32) -> Bool {
        threads[thread].state == .parked && !threads[thread].isBuffer
    }

    private var isAnyParked: Bool {
        for thread in 0..<threads.count where isDrainable(thread) { return true }
        return false
    }

    /// One operation of a thread that is being drained.
    func drainStep(_ thread: Int32) {
        heartbeat.tick()
        drainSteps += 1
        if drainSteps > Scheduler.drainTurn { leave(thread) }
    }

    // MARK: What Substrate asks (each in its own file)

    override func atomic(
        _ access: AtomicAccess, at address: UInt, _ operand: UInt64, _ desired: UInt64, _ site: Site
    ) -> UInt64 {
        guard isPlainAtomic(access.kind) else {
            return super.atomic(access, at: address, operand, desired, site)
        }
        return performAtomic(access, address, operand, desired)
    }
    override func begin(
        _ access: AtomicAccess, at address: UInt, _ operand: Bits, _ site: Site
    ) -> Directive {
        beginAtomic(access, address, operand, site)
    }
    override func mutex(_ kind: OperationKind, at address: UInt, _ site: Site) -> Bool {
        performMutex(kind, address, site)
    }
    override func subject(_ address: UInt, begins: Bool) { labelParts(of: address, begins: begins) }
    override func cover(_ address: UInt, begins: Bool) { coverObject(at: address, begins: begins) }
    override func operationBegins(
        _ name: StaticString, on address: UInt, writes: Bool, at site: Site
    ) {
        beginOperation(name, address, writes: writes, site)
    }
    override var isInOperation: Bool { current >= 0 && threads[current].declarations > 0 }
    override func operationDoes(_ deed: String) {
        if current >= 0, threads[current].operations > 0 { recorder?.deeds[current] = deed }
    }
    override func operationEnds() { endOperation() }
    override func end(old: Bits, new: Bits, wrote: Bool) {
        endAtomic(old: old, new: new, wrote: wrote)
    }
    override func describe(old: String, new: String) {
        if mode == .exploring, !isInStep { recorder?.describe(old: old, new: new) }
    }
    override func perform(_ operation: Operation) -> Bool { performOperation(operation) }
    override func spinBegins() { beginSpin() }
    override func spinEnds() { endSpin() }
    override func spinWaits(at site: Site) { waitInSpin(site) }
    override func now(at site: Site) -> UInt64 { readClock(site) }
    override func sight(_ address: UInt) { sightObject(address) }
    override func label(_ address: UInt, _ name: String) { setLabel(address, name) }
    override func name(ofStorageAt address: UInt) -> String? {
        storages.block(at: address).map { storages[$0].name }
    }
    override func name(ofThread number: UInt32) -> String? {
        if !attention.names { wanted.names = true }
        return number > 0 && number <= UInt32(threads.count)
            ? name(ofThread: Int32(number) - 1) : nil
    }
    override func threads(at site: Site) -> [UInt32] { startedThreads(site) }
    override func adopt(
        _ address: UInt, size: Int, except count: UInt, name: String, site: Site,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) {
        unsafe adoptStorage(
            address, size: size, except: count, name: name, site: site, destroy: destroy)
    }
    override func misuse(_ sentence: String, at site: Site) {
        recorder?.note(thread: current, .note("✗ misuse"), site: site)
        fail(
            .misuse, "\(name(ofThread: current)): \(sentence)",
            steps: mode == .afterwards ? [] : recorder.map { [$0.count - 1] } ?? [])
    }
    override func spawn(name: String, isService: Bool, _ body: @escaping @Sendable () -> Void)
        -> UInt
    {
        UInt(bitPattern: Int(spawnThread(name: name, isService: isService, body)))
    }
    override func allocate(
        size: Int, alignment: Int, name: String, site: Site,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) -> UnsafeMutableRawPointer {
        unsafe allocateStorage(
            size: size, alignment: alignment, name: name, site: site, destroy: destroy)
    }
    override var isOver: Bool { mode == .draining }
    override func waits(for waitClass: WaitClass, begins: Bool) {
        noteWait(waitClass, begins: begins)
    }

    /// Records the first thing that this execution did wrong.
    func fail(
        _ kind: Verdict.Kind, _ sentence: @autoclosure () -> String, steps: [Int] = [],
        objects: [Int32] = []
    ) {
        guard verdict == nil, mode == .exploring || mode == .afterwards else { return }
        verdict = Verdict(kind, sentence(), steps: steps, objects: objects)
    }
}

struct OrderConstraint {
    var first: String
    var second: String
}
