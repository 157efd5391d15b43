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
    /// The strategy that picks. Used at every step, so without a retain; the exploration keeps it.
    private(set) var strategy = Borrowed<Strategy>()
    /// The events of the execution, for a strategy that reduces. Those before `replayedSteps` are
    /// the last execution's, which this one repeats.
    let history = History()
    private(set) var keepsHistory = false
    /// Whether an execution follows others.
    private(set) var isSearching = false
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
    let spins = SpinLoops()
    let clock = Timekeeper()
    let order = DeclaredOrder()
    let names = Names()
    let machines = Machines()
    /// The first call that was met of what synchronizes without Substrate.
    var foreign: ForeignCall?
    /// Whether a thread or a task other than the main one did something that was seen.
    var hasSeenWork = false
    /// Whether there was more than one.
    var hasSeenOthers = false
    let references: References
    /// At the end: the steps that blocked threads would have taken.
    let blockedSteps = Stack<Event>(capacity: 16)
    /// By thread: the operation that it is inside of.
    let openOperations = Stack<OpenOperation>(capacity: 32)
    /// The subject whose parts are being labelled, -1 for none.
    var labelledSubject: Int32 = -1
    let readSections = ReadSections()
    let sharedLocks = SharedLocks()
    /// What the words of locks contain that threads of the exploration hold, and how many do.
    var lockToken: UInt32 = 0
    var heldWords = 0
    let declaredWaits = DeclaredWaits()
    /// Where the running thread's atomic operation is.
    var pendingSite = Site("", 0)
    /// What the step that is being taken has changed.
    let changes = Stack<StateChange>(capacity: 16)
    /// What the explorer itself has done wrong, if anything.
    var defect: String?
    /// Steps taken, which are the events of the execution while it is explored. The watch of
    /// references reads it too.
    @safe
    @inline(__always)
    var steps: Int {
        get { unsafe Int(truncatingIfNeeded: stepCount.pointee) }
        set { unsafe stepCount.pointee = Int64(truncatingIfNeeded: newValue) }
    }
    private let stepCount = UnsafeMutablePointer<Int64>.allocate(capacity: 1)
    let stacks = SpareStacks()
    /// Whether an execution got no memory for a stack.
    var hasLackedMemory = false
    var choice: Int32 = -1
    var outcome = Outcome.complete
    let schedule = Stack<UInt32>(capacity: 256)
    var verdict: Verdict?
    var divergence: Divergence?
    /// What runs once every thread has ended.
    @exclusivity(unchecked) var afterwards: [() -> Void] = []
    var world: World?
    /// Of the thread that is being drained, in this turn.
    var drainSteps = 0
    /// Counts steps for the watchdog; read by another thread.
    let heartbeat: Heartbeat

    /// What this execution observes, and what the next one will.
    var attention = Attention()
    var wanted = Attention()
    /// The last step, as it was committed.
    var lastEvent = Event(thread: -1, kind: .touch)
    /// What is changed in the program under test.
    let mutant: Mutant?
    private(set) var recorder: Recorder?
    /// Fibers that did not end even when every wait was granted.
    var abandoned = 0
    /// Whether going on makes no sense: every further execution would block outside Substrate
    /// again.
    var mustStop = false
    /// Whether a thread that is none of the exploration's has used its world. Written by such a
    /// thread.
    let foreignUses = Atomic(0)

    /// For how many seconds a thread may do nothing that Substrate sees.
    var patience: Double

    init(_ options: ExplorationOptions) {
        self.options = options
        patience = options.watchdogSeconds
        threads = ThreadTable(limit: options.threadLimit, keeps: options.keptTasks)
        mutant = options.mutation.map { Mutant($0) }
        seesAll = JobCapture.isAnnounced && !options.isLimitedToExecutors
        heartbeat = Heartbeat(threadID: quiesce_thread_id())
        unsafe stepCount.initialize(to: 0)
        unsafe references = References(steps: stepCount)
        super.init()
    }

    deinit {
        destroyStacks()
        host.destroy()
        unsafe stepCount.deallocate()
    }

    /// Gives the memory of all stacks back: nothing runs on them any more.
    private func destroyStacks() {
        threads.destroyFibers()
        jobs.destroyCarriers()
        stacks.destroyAll()
    }

    /// Does so early where the next scheduler would get no memory. What was abandoned may still be
    /// written to.
    func endExploring() {
        if hasLackedMemory, abandoned == 0, !mustStop { destroyStacks() }
    }

    var isRecordingTrace: Bool { recorder != nil }

    func use(_ strategy: Strategy) {
        self.strategy = Borrowed(strategy)
        keepsHistory = strategy.keepsHistory
        isSearching = strategy.isSearch
        history.removeAll()
        replayedSteps = 0
    }

    func notePlainness() {
        isPlain =
            mode == .exploring && recorder == nil && mutant == nil && spins.count == 0
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
        // While steps are repeated the schedule holds later ones already.
        unsafe quiesce_report_fatal(
            schedule.isEmpty ? nil : schedule.address(of: 0),
            Int32(min(schedule.count, steps + 1)))
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
        if stacks.hasReserve { begin(beginning) } else { lackMemory() }
        runToEnd()
        noteOpenEnds()
        if !hasSeenWork { lookForWork() }
        if mode == .finishing { mode = .draining }
        if outcome == .complete, divergence == nil {
            runAfterwards()
            if verdict == nil { checkLeaks() }
        }
        if verdict == nil { judge() }
        if verdict == nil, foreignUses.load(ordering: .relaxed) != 0 { judgeForeignUse() }
        if outcome != .blocked, !mustRepeat, let concluded = options.concluded {
            concluded(verdict?.kind)
        }
        drain()
        freeWords()
        if threads.hasDead { releaseAside() }
        mode = .idle
        release()
        return outcome
    }

    private func begin(_ beginning: Beginning) {
        switch beginning {
        case .thread(let body): enter(startThread(name: "main", isService: false, parent: -1, body))
        case .task(let start): if startMainTask(start) { enterCarrier() }
        }
    }

    /// Looks whether threads besides the main one did more than to start and to end.
    private func lookForWork() {
        guard keepsHistory, threads.started.count > 2 else { return }
        hasSeenOthers = true
        if attention.races || wanted.races { hasSeenWork = true }
        for position in 0..<history.count where history[position].thread != threads.started[0] {
            switch history[position].kind {
            case .job where history[position].previous < 0, .release, .spawn: continue
            default:
                hasSeenWork = true
                return
            }
        }
    }

    private func reset() {
        objects.beginExecution()
        attention = wanted
        labelledSubject = -1
        if attention.races { sync.beginExecution() }
        if jobs.isUsed { resetJobs() }
        quiesce_jobs_want_order(attention.races)
        threads.beginExecution()
        stores.beginExecution()
        blockedSteps.removeAll()
        schedule.truncate(
            to: options.time == .discrete ? 0 : min(schedule.count, replayedSteps))
        spins.count = 0
        clock.beginExecution()
        order.beginExecution()
        names.beginExecution()
        readSections.beginExecution()
        sharedLocks.beginExecution()
        references.beginExecution(attention.steps.types)
        declaredWaits.beginExecution()
        changes.removeAll()
        steps = 0
        choice = -1
        verdict = nil
        divergence = nil
        recorder?.removeAll()
    }

    /// Lets go of everything that belongs to the execution. What ends so does what it does at its
    /// end, as far as nobody is there to see it.
    private func release() { capturing { releaseAll() } }

    /// Does so where a thread never comes to its end, for which what ends may wait: a fiber that
    /// waits so is abandoned as well, and the next one goes on behind what it was releasing.
    private func releaseAside() {
        let before = threads.started.count
        releaseAside(drainsAll: true) { [unowned self] in releaseClosures(besides: current) }
        // A task that goes on now would find memory that is gone: none does.
        releaseAside(drainsAll: false) { [unowned self] in storages.destroyAll() }
        threads.noteEnders(Int32(threads.started.count - before))
    }

    private func releaseAside(drainsAll: Bool, _ body: @escaping @Sendable () -> Void) {
        var hasEnded = false
        while !hasEnded, mayStartAside {
            let thread = startThread(name: "the end", isService: true, parent: 0, body)
            drainThreads(only: drainsAll ? nil : thread)
            freeWords()
            hasEnded = threads[thread].state == .finished
        }
    }

    private func releaseAll() {
        releaseClosures(besides: -1)
        if !storages.isEmpty { storages.destroyAll() }
        if jobs.isUsed { jobs.inbox.retire() }
    }

    /// Lets go of what the execution's threads ran, but for one that runs, and of what was to run
    /// afterwards.
    private func releaseClosures(besides thread: Int32) {
        threads.releaseBodies(besides: thread)
        // One by one: what it captured may end here, and not come to its end.
        while unsafe !afterwards.isEmpty { unsafe _ = afterwards.removeLast() }
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
    override func perform(
        _ operation: UInt8, _ argument: UInt64, of machine: ObjectMachine, at address: UInt,
        from initial: Bits, _ site: Site
    ) -> UInt64 {
        performMachine(operation, argument, machine, address, initial, site)
    }
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
    override func waits(for waitClass: WaitClass, _ name: () -> String, begins: Bool) {
        noteWait(waitClass, name, begins: begins)
    }
    override func section(
        of waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {
        noteSection(waitClass, owner, begins: begins)
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
