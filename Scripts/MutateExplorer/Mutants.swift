// SPDX-License-Identifier: Apache-2.0

extension Mutant {
    /// Every footprint and every rule of the reduction, of the clocks and of the verdicts on
    /// memory, each weakened in turn.
    static let all =
        steps + locks + states + places + history + reduction + scheduling + shared + operations
        + tasks + clocks + scopes + managedObjects + devices + files + providers

    // MARK: What steps touch

    private static let step = "Objects/Step.swift"
    private static let steps = [
        Mutant(
            "a compare-exchange always reads", step, "states.touch(object, writes: effect.succeeds",
            "states.touch(object, writes: false"),
        Mutant(
            "a compare-exchange always succeeds elsewhere", step,
            "effect.succeeds = states.word(object) == expected",
            "effect.succeeds = true"),
        Mutant(
            "a forwarded load leaves the buffer out", step,
            "            effect.footprint.add(other, writes: false)\n        case .store",
            "        case .store"),
        Mutant(
            "a load never takes from the buffer elsewhere", step,
            "if other >= 0, states.isBuffered(object, by: thread) {", "if false {"),
        Mutant(
            "a buffered store leaves the barrier out", step,
            "            effect.footprint.add(ObjectTable.barrier, writes: false)\n            states.touchLifetime",
            "            states.touchLifetime"),
        Mutant(
            "a flush reads its object", step,
            "        case .flush:\n            states.touch(object, writes: true",
            "        case .flush:\n            states.touch(object, writes: false"),
        Mutant(
            "a flush leaves the barrier out", step,
            "            effect.footprint.add(ObjectTable.barrier, writes: false)\n            effect.footprint.add(other, writes: true)",
            "            effect.footprint.add(other, writes: true)"),
        Mutant(
            "a flush leaves the buffer out", step,
            "            effect.footprint.add(other, writes: true)\n", ""),
        Mutant(
            "a lock step always reads", step, "states.touch(object, writes: outcome.writes",
            "states.touch(object, writes: false"),
        Mutant(
            "a wait reads the condition", step,
            "        case .wait:\n            states.touch(object, writes: true",
            "        case .wait:\n            states.touch(object, writes: false",
            equivalent: "both that wait hold the mutex, which orders them"),
        Mutant(
            "a wait leaves the mutex out", step,
            "            states.touch(other, writes: true, &effect.footprint)\n            _ = applyToLock(other, .wait",
            "            _ = applyToLock(other, .wait"),
        Mutant(
            "a park leaves the word out", step,
            "            states.touch(object, writes: false, &effect.footprint)\n            if effect.waits",
            "            if effect.waits"),
        Mutant(
            "a park leaves the queue out", step,
            "                states.touch(other, writes: true, &effect.footprint)\n                wait(on: other",
            "                wait(on: other"),
        Mutant(
            "a park always waits elsewhere", step, "effect.waits = states.word(object) == expected",
            "effect.waits = true"),
        Mutant(
            "a timeout leaves the queue out", step,
            "                states.touch(object, writes: true, &effect.footprint)\n                touchClock",
            "                touchClock"),
        Mutant(
            "a timeout leaves the clock out", step,
            "                states.touch(object, writes: true, &effect.footprint)\n                touchClock(states, writes: true, &effect)",
            "                states.touch(object, writes: true, &effect.footprint)"),
        Mutant(
            "a wait's end reads the mutex", step,
            "                effect.acquires = true\n                states.touch(other, writes: true",
            "                effect.acquires = true\n                states.touch(other, writes: false"
        ),
        Mutant(
            "a wake-up reads the queue", step,
            "            states.set(object, waiters)\n            states.touch(object, writes: true",
            "            states.set(object, waiters)\n            states.touch(object, writes: false"
        ),
        Mutant(
            "a wake-up of a timed wait leaves the clock out", step, "if stopped != 0 { touchClock",
            "if false { touchClock"),
        Mutant(
            "arming a timer leaves the clock out", step,
            "            states.setTimer(of: thread, deadline)\n            touchClock(states, writes: true, &effect)\n        case .fire",
            "            states.setTimer(of: thread, deadline)\n        case .fire"),
        Mutant(
            "a firing reads the clock", step,
            "            states.setTimer(of: thread, 0)\n            touchClock(states, writes: true, &effect)\n        case .readClock",
            "            states.setTimer(of: thread, 0)\n            touchClock(states, writes: false, &effect)\n        case .readClock"
        ),
        Mutant(
            "looking at the clock touches nothing", step,
            "case .readClock: touchClock(states, writes: false, &effect)",
            "case .readClock: break"),
        Mutant(
            "a barrier leaves the buffers out", step,
            "case .membarrier: effect.footprint.add(ObjectTable.barrier, writes: true)",
            "case .membarrier: break"),
        Mutant(
            "a timed wait leaves the clock out", step,
            "        states.setTimer(of: thread, deadline)\n        touchClock(states, writes: true, &effect)\n    }",
            "        states.setTimer(of: thread, deadline)\n    }"),
        Mutant(
            "a timed wait may end in any order", step,
            "deadline != 0 && states.mayFire(thread, at: deadline)",
            "deadline != 0"),
        Mutant(
            "a wait's end needs no mutex", step,
            "kind == .unpark || states.lock(other).allows(.reacquire, prefersReaders: false)",
            "true"),
        Mutant(
            "a barrier waits for nobody", step, "case .membarrier: !states.hasBufferedStores(nil)",
            "case .membarrier: true"),
        Mutant(
            "a park never grows", step, "case .park, .signal, .broadcast, .wake: true\n",
            "case .signal, .broadcast, .wake: true\n"),
        Mutant(
            "a wake-up chooses nobody", step,
            "kind == .signal || kind == .wake ? states.waiters(object).choices(kind) : 0", "0"),
        Mutant(
            "a store and an update read", "Scheduling/Scheduler+Atomics.swift",
            "event.footprint = footprint(object, writes: wrote)",
            "event.footprint = footprint(object, writes: wrote && event.kind == .compareExchange)"),
        Mutant(
            "an access leaves the subject out", "Objects/LiveStates.swift",
            "if objects[object].subject >= 0 { footprint.add(objects[object].subject, writes: writes) }",
            ""),
        Mutant(
            "an access leaves the lifetime out", "Objects/LiveStates.swift",
            "        footprint.add(objects[object].lifetime, writes: false)\n", ""),
    ]

    private static let lock = "Objects/LockState.swift"
    private static let locks = [
        Mutant(
            "a reader passes a waiting writer", lock,
            "owner < 0 && (prefersReaders || requests == 0)", "owner < 0"),
        Mutant(
            "a writer passes readers", lock, "case .writeLock: owner < 0 && readers == 0",
            "case .writeLock: owner < 0"),
        Mutant(
            "a try of a mutex writes when it fails", lock,
            "guard owner < 0 else { return Outcome(writes: false) }\n            hold",
            "guard owner < 0 else { return Outcome() }\n            hold"),
        Mutant(
            "a try to write reads when it fails", lock,
            "guard owner < 0, readers == 0 else { return Outcome() }",
            "guard owner < 0, readers == 0 else { return Outcome(writes: false) }"),
        Mutant(
            "readers of a lock conflict", lock,
            "            readers += 1\n            return Outcome(acquires: true, writes: false)\n        case .tryReadLock",
            "            readers += 1\n            return Outcome(acquires: true)\n        case .tryReadLock"
        ),
        Mutant("a writer never requests", lock, "                requests += 1\n", ""),
        Mutant(
            "a request stays when it is granted", lock, "if !prefersReaders { requests -= 1 }", ""),
        Mutant(
            "a try to read passes a writer", lock,
            "guard allows(.readLock, prefersReaders: prefersReaders) else { return Outcome(writes: false) }",
            "guard owner < 0 else { return Outcome(writes: false) }"),
        Mutant("the end of a read counts for nothing", lock, "            readers -= 1\n", ""),
    ]

    private static let waiters = "Objects/WaiterState.swift"
    private static let states = [
        Mutant(
            "a signal has no choice", waiters,
            "kind != .broadcast && waiting & (waiting &- 1) != 0 ? waiting : 0", "0"),
        Mutant("a wait is never timed", waiters, "if isTimed { timed |= bit(thread) }", ""),
        Mutant("who was woken stays timed", waiters, "        timed &= ~set\n", ""),
        Mutant(
            "timers fire in any order", "Objects/LiveStates.swift",
            "            return false\n        }\n        return true",
            "            continue\n        }\n        return true"),
        Mutant(
            "a reader's lock is a version of its own", "Objects/LiveStates.swift",
            "readers: isCounted ? state.readers - before.readers : 0",
            "readers: isCounted ? 0 : 0"),
        Mutant(
            "values are never remembered", "Objects/LiveStates.swift",
            "        guard attention.words else { return }",
            "        if true { return }"),
    ]

    // MARK: Other places of an execution

    private static let place = "Reduction/Configuration.swift"
    private static let places = [
        Mutant(
            "an object's version is its last", place,
            "            if contains(Int(version.event)) {\n                if version.readers",
            "            if true {\n                if version.readers"),
        Mutant(
            "readers elsewhere are not counted", place, "state.readers += readers",
            "state.readers += readers * 0"),
        Mutant(
            "no holder is in the way", place, "return state.isHeld ? state.acquired : -1",
            "return state.isHeld ? -1 : -1"),
        Mutant(
            "no request is in the way", place,
            "return holder >= 0 ? holder : request(for: step.object)",
            "return holder"),
        Mutant(
            "no reader is in the way", place,
            "return holder >= 0 ? holder : reader(of: step.object)", "return holder"),
        Mutant(
            "no buffered store is in the way", place,
            "case .membarrier: return bufferedStore(of: nil, to: nil)",
            "case .membarrier: return -1"),
        Mutant(
            "no timer is in the way of a firing", place,
            "case .fire: return earlierTimer(than: step.deadline, step.thread)",
            "case .fire: return -1"),
        Mutant(
            "no timer is in the way of a wait", place,
            "return step.deadline == 0 ? -1 : earlierTimer(than: step.deadline, step.thread)",
            "return -1"),
        Mutant(
            "a timer stays armed after a wake-up", place,
            "if record.kind != .arm, !waiters(queue).contains(record.thread) { continue }",
            "if record.kind != .arm, queue == -5 { continue }"),
        Mutant(
            "a timer stays armed after it fired", place,
            "if let next = history.next(after: event), contains(next) { continue }", ""),
        Mutant(
            "a task's timer stays armed", place,
            "if let fire = history.closer(of: event), contains(fire) { return true }", ""),
        Mutant(
            "a task's timer is never in the way", place,
            "if record.arms != 0, record.arms < deadline, !isTaskTimerClosed(event) { return Int32(event) }",
            ""),
        Mutant(
            "what is closed is open", place,
            "closer.map(contains) ?? false", "false"),
        Mutant("discrete timers may fire at once elsewhere", place, ": deadline <= time", ": true"),
    ]

    // MARK: Happens-before

    private static let histories = "Reduction/History.swift"
    private static let accesses = "Reduction/AccessHistory.swift"
    private static let history = [
        Mutant(
            "what enables comes not before", histories,
            "if event.enabler >= 0 { joinClock(position, Int(event.enabler)) }",
            ""),
        Mutant(
            "the cause comes not before", histories,
            "if event.cause >= 0 { joinClock(position, Int(event.cause)) }",
            ""),
        Mutant(
            "a write conflicts with no read", accesses,
            "body(Int(accesses[Int(index)].event)) if accesses[Int(index)].writes { break }",
            "if accesses[Int(index)].writes { body(Int(accesses[Int(index)].event)); break }"),
        Mutant(
            "a read conflicts with no write", accesses,
            "} else if access.lastWrite >= 0 { body(Int(accesses[Int(access.lastWrite)].event)) }",
            "}"),
        Mutant(
            "a barrier conflicts with no store", accesses,
            "if other.writes != access.writes { body(Int(other.event)) }", ""),
        Mutant(
            "conflicts order nothing", histories, "joinClock(position, event)\n        return true",
            "return true"),
        Mutant(
            "a thread that is started goes on before its starter",
            "Scheduling/Scheduler+Steps.swift",
            "&& threads[thread].starter < 0\n    }", "}"),
        Mutant(
            "a buffer keeps what it did in the last execution", "Scheduling/ThreadTable.swift",
            "for thread in 0..<count { self[thread].restart() }",
            "for thread in 0..<count where !self[thread].isBuffer { self[thread].restart() }"),
        Mutant(
            "nothing is in the way of a machine's step", place,
            "case .machine: return disabling(step)", "case .machine: return -1"),
        Mutant(
            "most second steps are no race", histories,
            "if addAccess(object, writes: writes, position) {",
            "if addAccess(object, writes: writes, position), position < 0 {"),
        Mutant(
            "what an amended event left is lost", histories,
            "truncateRows(to: count - 1)\n        append(event)",
            "truncate(to: count - 1)\n        append(event)"),
        Mutant(
            "an access comes after nothing of its thread", histories,
            "if previous >= 0 {\n            let source",
            "if previous >= Int32.max {\n            let source"),
        Mutant(
            "a thread without steps hands nothing on", "Scheduling/ThreadRecord.swift",
            "var handsOn: Int32 { last >= 0 ? last : origin }", "var handsOn: Int32 { last }"),
        Mutant(
            "a flush comes not before what drains", "Scheduling/ThreadRecord.swift",
            "if enabler < 0, lastFlush >= 0, event.kind.drains { event.enabler = lastFlush }", ""),
        Mutant(
            "a woken thread comes not after its wake-up", "Scheduling/Scheduler+Steps.swift",
            "            threads[waiter].enabler = position\n", ""),
        Mutant(
            "a join comes not after the thread's end", "Scheduling/Scheduler+Performing.swift",
            "        threads[thread].enabler = threads[target].handsOn\n", ""),
        Mutant(
            "what follows comes not after time has passed", "Scheduling/Scheduler+Steps.swift",
            "if clock.lastTick > max(event.previous, event.enabler, event.cause) { event.cause = clock.lastTick }",
            ""),
        Mutant(
            "time passes after nothing", histories,
            "        if event.kind == .tick { joinAll(before: position) }\n", ""),
        Mutant(
            "barriers conflict", "Reduction/Footprint.swift", "object == ObjectTable.barrier",
            "false"),
    ]

    // MARK: The search

    private static let optimal = "Strategies/OptimalReduction.swift"
    private static let races = "Reduction/RaceReversal.swift"
    private static let sequence = "Reduction/ReversalSequence.swift"
    private static let reduction = [
        Mutant(
            "a deadline is not tried before the wake-up", races,
            "reverseWakeUp(of: event)\n", ""),
        Mutant(
            "what blocked threads would do is not reversed", optimal,
            "races.reverseRaces(ofBlocked: scheduler.blockedSteps[index])", "_ = index"),
        Mutant(
            "no other waiter is chosen", optimal,
            """
            if event.choice >= 0, position >= guide.count { races.insertOtherChoices(of: position) }
            """, ""),
        Mutant(
            "a stopped timer does not fire", optimal, "races.reverseStop(stop)", "_ = stop"),
        Mutant(
            "steps that may grow are reversed once", optimal,
            "for event in 0..<branch where history[event].traits.contains(.mayGrow) {",
            "for event in 0..<branch where event < 0 {"
        ),
        Mutant(
            "sleepers sleep on", optimal,
            "if sleepers[index].footprint.filter & filter != 0,",
            "if filter == 0, sleepers[index].footprint.filter != 0,"),
        Mutant(
            "what two found is never the same", optimal,
            "if findsMore, !scheduler.areStable(sleeper.footprint, among: frame.objectCount) {",
            "if findsMore, sleeper.thread < 0 {"),
        Mutant(
            "a choice is as good as another", sequence,
            "guard itsChoice == choice else { return .no }",
            "guard itsChoice == choice || choice > -5 else { return .no }",
            equivalent: "the other choices stand in the same tree, or were explored from there"),
        Mutant(
            "the last step comes first whatever it conflicts with", sequence,
            "if last.footprint.filter & history[event].filter != 0,", "if other < 0,"),
        Mutant(
            "the last step comes before what enables it", sequence,
            "if isAnchor(Int(elements[first].event)) { return false }",
            ""),
        Mutant(
            "an initial comes before its causes", sequence,
            "return history.follows(Int(elements[index].event), onlyOneOf: stamps)",
            "return true"),
        Mutant(
            "nothing else is left out", races,
            "                dropped.append(Int32(truncatingIfNeeded: obstacle))\n                buildSequence()",
            "                return"),
        Mutant(
            "the holder of a mutex is not left out", races,
            "                dropped[0] = Int32(truncatingIfNeeded: obstacle)\n                place.with { $0.begin(obstacle) }",
            "                return"),
        Mutant(
            "an independent step conflicts with nothing", sequence,
            "if conflicts(touched, history.footprint(event)) { return .no }",
            ""),
        Mutant(
            "an independent step may conflict with the last", sequence,
            "return !elements[lastIndex].isRemoved && conflicts(touched, last.footprint) ? .no : .independent",
            "return .independent"),
        Mutant(
            "a vague step touches what it touched", sequence,
            "if touched.isAnything || !elements[lastIndex].isRemoved && last.traits.contains(.vague) { return .no }",
            "",
            equivalent:
                "what conflicts with it there finds that after its own step, where the two still meet"
        ),
        Mutant(
            "an unknown object is none", sequence,
            "guard touched.unknownBeyond >= 0, !scheduler.areStable(footprint, among: touched.unknownBeyond) else {",
            "guard false else {",
            equivalent:
                "what conflicts with it there finds that after its own step, where the two still meet"
        ),
        Mutant(
            "a reversed step touches what it touched", races,
            "        result.footprint = effect.footprint\n", ""),
        Mutant(
            "a spinner goes on for nothing", races,
            "            guard isResumed(second, without: first) else { return }\n", ""),
        Mutant(
            "a tree's leaf stands for nothing", optimal,
            "            if node.firstChild < 0 { return }\n", "",
            equivalent: "what may follow a leaf is found by races as well, once it has run"),
        Mutant(
            "what was explored is explored again", optimal,
            "if result != .no { return }", "if result != .no, position < 0 { return }"),
        Mutant(
            "only the first that is left out counts", races,
            "for index in 0..<dropped.count where history.happens(Int(dropped[index]), before: event) { return true }",
            "if history.happens(Int(dropped[0]), before: event) { return true }"),
        Mutant(
            "what is in the way may be left out", races,
            "guard obstacle >= 0, history[obstacle].thread != second.thread, !sequence.isAnchor(obstacle) else { return }",
            "guard obstacle >= 0 else { return }"),
        Mutant(
            "an obstacle is a mistake", optimal,
            "                scheduler.defect =\n                    \"at step",
            "                if false { scheduler.defect = \"\" }\n                _ =\n                    \"at step",
            equivalent: "no node is infeasible"),
    ]

    // MARK: The scheduler

    private static let atSteps = "Scheduling/Scheduler+Steps.swift"
    private static let spins = "Objects/SpinLoops.swift"
    private static let memory = "Scheduling/Scheduler+Memory.swift"
    private static let deadlocks = "Scheduling/Scheduler+Deadlocks.swift"
    private static let scheduling = [
        Mutant(
            "a task starts without a stack for it", "Scheduling/SpareStacks.swift",
            "stacks.count >= Self.reserve || fill()", "true"),
        Mutant(
            "a compare-exchange wakes no spinner", "Reduction/Event.swift",
            "!traits.contains(.silent) && (",
            "!traits.contains(.silent) && kind != .compareExchange && ("),
        Mutant(
            "a silent write wakes a spinner", "Reduction/Event.swift",
            "!traits.contains(.silent) && (", "("),
        Mutant(
            "a spinner forgets what it read after it was woken", spins,
            "        if threads[own].isSpinning {",
            "        if threads[own].isSpinning, !threads[own].isWoken {"),
        Mutant(
            "the end of a read wakes no spinner", "Reduction/Event.swift",
            "|| kind == .readUnlock && footprint.contains(object) && spinReads.writes(to: object)",
            ""),
        Mutant(
            "late accesses are not looked for", atSteps,
            "if !storages.isEmpty { checkLifetimes(event) }", ""),
        Mutant(
            "a plain access leaves its lifetime out", memory,
            "event.footprint.add(storages[Int(objects[object].storage)].lifetime, writes: false)",
            "event.footprint.add(-1, writes: false)"),
        Mutant(
            "a free reads the lifetime", memory,
            "        event.footprint.add(storages[index].lifetime, writes: true)\n",
            "        event.footprint.add(storages[index].lifetime, writes: false)\n"),
        Mutant(
            "a free leaves the allocator out", memory,
            "        if options.reusesAddresses { event.footprint.add(ObjectTable.allocator, writes: true) }\n",
            ""),
        Mutant(
            "an allocation leaves the allocator out", memory,
            "        event.footprint.add(ObjectTable.allocator, writes: true)\n        event.footprint.add(lifetime",
            "        event.footprint.add(lifetime"),
        Mutant(
            "an allocation leaves the former life out", memory,
            "        event.footprint.add(former, writes: true)\n",
            ""),
        Mutant(
            "an allocation is no step", memory,
            "let isStep = options.reusesAddresses && awaitAllocator()",
            "let isStep = options.reusesAddresses && steps < 0 && awaitAllocator()"),
        Mutant(
            "who reaches for freed memory finds the first life", memory,
            "if former >= 0 { beginSecondLife(of: former, at: base, size) }", ""),
        Mutant(
            "a second free is none", memory,
            "        if block.isFreed {\n            fail(\n                .doubleFree",
            "        if false {\n            fail(\n                .doubleFree"),
        Mutant(
            "the start of a thread is no step where it is looked for",
            "Scheduling/Scheduler+Threads.swift",
            "event.footprint.add(ObjectTable.threads, writes: true)",
            "event.footprint.add(-1, writes: true)"),
        Mutant(
            "looking for threads touches nothing", atSteps,
            "event.footprint.add(ObjectTable.threads, writes: false)",
            "event.footprint.add(-1, writes: false)"),
        Mutant(
            "marks conflict with nothing", "Verdicts/DeclaredOrder.swift",
            "event.footprint.add(object, writes: true)", "event.footprint.add(-1, writes: true)"),
        Mutant(
            "the clock does not go on after a timeout", "Scheduling/Scheduler+Waits.swift",
            "            clock.pass(to: threads[index].deadline)\n", ""),
        Mutant(
            "a declared wait on a condition is for nobody", deadlocks,
            "(record.kind == .unpark || record.kind == .reacquire)", "record.kind == .unpark"),
        Mutant(
            "who was woken waits for those inside", deadlocks,
            "record.kind == .reacquire) && !record.isWoken", "record.kind == .reacquire)"),
    ]

    // MARK: Locks that threads outside take too

    private static let sharedLocks = "Scheduling/Scheduler+SharedLocks.swift"
    private static let shared = [
        Mutant(
            "a mutex is taken without its word", "Scheduling/Scheduler+Mutexes.swift",
            "if kind == .lock, !takeWord(lock, address, thread, site) {", "if false {"),
        Mutant(
            "a mutex keeps its word", "Scheduling/Scheduler+Mutexes.swift",
            "if kind == .unlock { freeWord(at: address, site) }", ""),
        Mutant(
            "a try does not look at the word", "Scheduling/Scheduler+Mutexes.swift",
            "if objects[lock].lock.isHeld || tryWord(.mutex, lock) {", "if true {"),
        Mutant(
            "a lock with readers is taken without its word",
            "Scheduling/Scheduler+ReaderWriterLocks.swift", "if isFree, !tryWord(word, lock) {",
            "if false {"),
        Mutant(
            "a wait ends without the word of its mutex", "Scheduling/Scheduler+Waits.swift",
            "guard takeWord(lock, objects[lock].address, thread, site) else {",
            "guard lock >= 0 else {"),
        Mutant(
            "words stay taken after an execution", "Scheduling/Scheduler.swift",
            "drain()\n        freeWords()\n", "drain()\n"),
        Mutant(
            "a trapped reader's lock is given back at the end", "Scheduling/Scheduler+Ending.swift",
            "        leaveWords(of: thread)\n        let report", "        let report"),
        Mutant(
            "what is wound up keeps nobody out", sharedLocks,
            "guard isHeld(lock) || windUpWord(mode, lock, isTry: isTry) else { return false }",
            "guard isTry || lock >= 0 else { return false }"),
        Mutant(
            "a waiter outside is not let in", sharedLocks,
            "switch SharedLock(mode, at: address, as: lockToken).giveBack() {",
            "switch SharedLock.Release.notHeld {"),
        Mutant(
            "a thread that is kept out keeps the others out", sharedLocks,
            "let isEntangled = awaitedLock() >= 0", "let isEntangled = start == 0"),
        Mutant(
            "a lock that is held outside is waited for for ever", sharedLocks,
            "if isEntangled || isTooLong(since: start) {", "if isEntangled || start == 0 {"),
        Mutant(
            "a wake-up from outside is lost", sharedLocks,
            "guard wakes != sharedLocks.waits[index].wakes else { continue }",
            "guard false else { continue }"),
        Mutant(
            "a wake-up for a thread outside is lost", "Scheduling/Scheduler+Waits.swift",
            "        wakeOutside(operation, condition)\n", ""),
        Mutant(
            "nobody outside is waited for", sharedLocks,
            "guard !kept.isEmpty || mayBeWokenOutside() else { return false }",
            "guard !kept.isEmpty else { return false }"),
        Mutant(
            "threads outside bound nothing", "API/Exploration.swift",
            "if let place = scheduler.sharedLocks.met {", "if let place = Optional<String>.none {"),
        Mutant(
            "releases that nobody watches bound nothing", "Objects/References.swift",
            "        isSeen = false\n        return body()", "        return body()"),
    ]

    private static let operation = "Scheduling/Scheduler+Operations.swift"
    private static let operations = [
        Mutant(
            "an operation's footprint holds everywhere", atSteps,
            "event.kind == .operation || options.reusesAddresses",
            "options.reusesAddresses"),
        Mutant(
            "a wake within an operation leaves the queue out", operation,
            "            touch(queue, writes: true)\n            guard waiters.waiting",
            "            guard waiters.waiting"),
        Mutant(
            "a woken thread comes not after the operation", operation,
            "            threads[waiter].enabler = Int32(truncatingIfNeeded: steps)\n", ""),
        Mutant(
            "a part is not its subject", operation,
            "if !openOperations[Int(current)].declared.contains(subject) { add(subject, writes: writes) }",
            ""),
        Mutant(
            "an operation declares nothing", operation,
            "        openOperations[index].event.footprint = openOperations[index].declared\n", ""),
        Mutant(
            "what an operation touches besides is left out", operation,
            "if subject < 0 { return add(object, writes: writes) }", "if subject < 0 { return }"),
        Mutant(
            "an operation's atomics read", operation,
            "        touch(object, writes: wrote)\n        if wrote",
            "        touch(object, writes: false)\n        if wrote"),
        Mutant(
            "an operation's park leaves the word out", operation,
            "touch(word, writes: false)", "_ = word"),
    ]

    // MARK: Tasks

    private static let jobs = "Tasks/Scheduler+Jobs.swift"
    private static let running = "Tasks/Scheduler+RunningJobs.swift"
    private static let runtime = "Tasks/Scheduler+Runtime.swift"
    private static let sharing = "Tasks/Scheduler+Sharing.swift"
    private static let tasks = [
        Mutant(
            "the previous holder of an actor is no cause", jobs,
            "        threads[thread].cause = jobs.lastOfActor.value(of: threads[thread].executor)\n",
            ""),
        Mutant(
            "the previous job of the main actor is no cause", running,
            "            threads[index].cause = jobs.mainLast\n", ""),
        Mutant(
            "jobs commute", sharing, "writes: !isThreadsOwn)", "writes: !isThreadsOwn && false)"),
        Mutant(
            "arrivals commute", sharing,
            "options.reduction == .declared ? queue(of: threads[index].executor) : ObjectTable.arrivals, writes: true",
            "options.reduction == .declared ? queue(of: threads[index].executor) : ObjectTable.arrivals, writes: false"
        ),
        Mutant(
            "a thread's cancellation commutes with tasks", sharing,
            "!threads[index].isTask && event.kind != .cancel && event.kind != .records",
            "!threads[index].isTask",
            equivalent: "two that cancel one task meet at the lock of its records"),
        Mutant(
            "a resumed task comes not after its resumption", jobs,
            "            threads[thread].enabler = lastPosition(of: current)\n", ""),
        Mutant(
            "a task's timer leaves the clock out", running,
            "            if hasOrderedTime { event.footprint.add(ObjectTable.clock, writes: true) }\n            event.opener",
            "            event.opener"),
        Mutant(
            "stopping a timer leaves the clock out", jobs,
            "        if hasOrderedTime { amend { addClock(to: &$0, writes: true) } }\n",
            ""),
        Mutant(
            "arming a task's timer leaves the clock out", jobs,
            "            event.arms = threads[index].deadline\n            if hasOrderedTime { addClock(to: &event, writes: true) }\n",
            "            event.arms = threads[index].deadline\n",
            equivalent:
                "what arms a timer is left out where a later one is reversed to come before it"),
        Mutant(
            "going to an actor is no step", jobs,
            "if executor != 0 { if thread == current { arrive(thread) } else { noteEffect() } }", ""
        ),
        Mutant(
            "what is created may not come first", jobs,
            "            wanted.steps.creations = true\n        }\n    }",
            "        }\n    }"),
        Mutant(
            "the main actor serves anybody", jobs,
            "            && Int(jobs.mainQueue[jobs.firstOfMain]) == index\n", ""
        ),
        Mutant(
            "a cancellation is no step", runtime,
            "        guard takeStep(.cancel, on: thread) else { return }",
            "        if true { return }"),
        Mutant(
            "the runtime's locks keep nobody out", runtime,
            "            guard takeStep(.records, on: owner(of: mutex)) else { return }\n", ""),
        Mutant(
            "who waited for a lock comes not after it", runtime,
            "            threads[thread].enabler = lastPosition(of: current)\n", ""),
        Mutant(
            "the runtime's clocks go on", runtime, "return clock.now", "return 0"),
        Mutant(
            "the end of a task touches not its parent", sharing,
            "if parent >= 0, threads[parent].isTask {", "if parent < -1 {"),
        Mutant(
            "an actor is shared by nobody", sharing,
            "if event.kind == .job, threads[index].place != .pool { share(actor(threads[index].executor), &event) }",
            "",
            equivalent: "its jobs run in the order of their arrivals, which share its queue"),
    ]

    // MARK: Races

    private static let sync = "Scheduling/SyncClocks.swift"
    private static let order = "Tasks/Scheduler+HappensBefore.swift"
    private static let clocks = [
        Mutant(
            "a task that nobody has awaited makes room", "Scheduling/ThreadTable.swift",
            "if self[child].mayMakeRoom, self", "if self[child].isTask, self"),
        Mutant(
            "a job that runs once stands in for a task", "Tasks/Scheduler+Jobs.swift",
            "        if !isOneShot {\n            jobs.table.set(job, thread)",
            "        jobs.table.set(job, thread)\n        if !isOneShot {"),
        Mutant(
            "unannounced, an address tells a task", "Tasks/Scheduler+Jobs.swift",
            "jobs.identities.value(of: job) == Self.identity(ofTask: job)",
            "jobs.identities.value(of: job) == Self.identity(ofTask: job) || !seesAll"),
        Mutant(
            "an executor's turns order nothing", order,
            "if let executor = serialExecutor(of: thread) { sync.acquire(thread, from: executor) }",
            ""),
        Mutant(
            "a task comes not before who awaits it", order,
            "        sync.acquire(current, from: task)\n", ""),
        Mutant(
            "an early resumption orders nothing", order,
            "        sync.acquire(thread, from: task)\n", ""),
        Mutant(
            "the runtime's mutexes order nothing", order,
            "        sync.acquire(current, from: mutex)\n", ""),
        Mutant(
            "a cancellation comes not before a later handler", order,
            "                sync.acquire(threads.started[index], from: threads[root].job + 1)\n",
            ""),
        Mutant(
            "what is released to a task is released for good", sync,
            "        runtime.join(Int(row), with: threads, Int(thread))\n        threads[Int(thread), Int(thread)] += 1\n",
            "        runtime.join(Int(row), with: threads, Int(thread))\n"),
        Mutant(
            "a store continues the release sequence", sync,
            "        objects.clear(Int(object))\n        publish",
            "        publish"),
        Mutant(
            "an update ends the release sequence", sync,
            "        load(thread, object, order)\n        publish",
            "        load(thread, object, order)\n        objects.clear(Int(object))\n        publish"
        ),
        Mutant(
            "every load acquires", sync,
            "        if order.acquires {\n            threads.join(Int(thread), with: objects, Int(object))\n        } else {",
            "        if true {\n            threads.join(Int(thread), with: objects, Int(object))\n        } else {"
        ),
        Mutant(
            "no fence acquires", sync,
            "        if order.acquires { threads.join(thread, with: seen, thread) }\n", ""),
        Mutant(
            "a relaxed load is not seen by a fence", sync,
            "            seen.join(Int(thread), with: objects, Int(object))\n", ""),
        Mutant(
            "no fence releases", sync, "            fenced.join(thread, with: threads, thread)\n",
            ""),
        Mutant(
            "every store releases", sync,
            "        if order.releases {\n            objects.join(object, with: threads, thread)",
            "        if true {\n            objects.join(object, with: threads, thread)"),
        Mutant(
            "a release does not end an epoch", sync,
            "            objects.join(object, with: threads, thread)\n            threads[thread, thread] += 1",
            "            objects.join(object, with: threads, thread)"),
        Mutant(
            "a thread does not see what its starter did", sync,
            "        threads.join(Int(child), with: Int(parent))\n",
            ""),
        Mutant(
            "a starter's epoch goes on", sync, "        threads[Int(parent), Int(parent)] += 1\n",
            ""),
        Mutant(
            "a join sees nothing", sync, "        threads.join(Int(thread), with: Int(ended))\n", ""
        ),
        Mutant(
            "a failed compare-exchange takes the order of success",
            "Scheduling/Scheduler+Atomics.swift",
            "sync.load(thread, object, failureOrder)",
            "sync.load(thread, object, order)"),
        Mutant(
            "a write races with no read", sync,
            "for reader in 0..<reads.width where reader != Int(thread) && conflict == nil {",
            "for reader in 0..<0 where reader != Int(thread) && conflict == nil {"),
        Mutant(
            "an access races with no write", sync,
            "last.epoch > threads[Int(thread), Int(last.thread)]", "false"),
        Mutant(
            "a mutex publishes nothing", "Scheduling/Scheduler+Mutexes.swift",
            "if attention.races { sync.store(thread, lock, .releasing) }", ""),
        Mutant(
            "a mutex learns nothing", "Scheduling/Scheduler+Mutexes.swift",
            "        guard attention.races else { return }\n        sync.load(thread, lock, .acquiring)\n",
            "        guard attention.races else { return }\n"),
        Mutant(
            "a writer does not see what readers did", "Scheduling/Scheduler+Mutexes.swift",
            "default: sync.load(thread, readersRow(of: lock), .acquiring)", "default: break"),
        Mutant(
            "readers publish to each other", "Scheduling/Scheduler+ReaderWriterLocks.swift",
            "sync.update(thread, readersRow(of: lock), .releasing)",
            "sync.update(thread, lock, .releasing)"),
        Mutant(
            "a reader learns nothing", "Scheduling/Scheduler+ReaderWriterLocks.swift",
            "            if attention.races { sync.load(thread, lock, .acquiring) }\n", ""),
    ]

    // MARK: The library

    private static let resources = "Quiesce/Scopes/ResourceList.swift"
    private static let scopes = [
        Mutant(
            "a scope that closes takes more", resources,
            "phase >= self.phase, var added", "var added"),
        Mutant(
            "nothing goes first", resources, "while !firsts.isEmpty {",
            "while firsts.count == .max {"),
        Mutant(
            "an order may go round", resources, "if number == second { return false }",
            "if number == .max { return false }"),
        Mutant(
            "two that close release side by side", resources,
            "of: walk.phase, after: number, before", "of: walk.phase, after: .max, before"),
        Mutant(
            "a close does not wait for the last release", resources,
            "of: walk.phase, after: 0, before", "of: walk.phase, after: .max, before"),
        Mutant(
            "a release action waits for another one", resources,
            "if !isReleaser(thread) { return .wait(number) }", "return .wait(number)"),
        Mutant(
            "a second caller does not wait", resources,
            "if !isReleaser(thread) { return .wait(number) }",
            "if number == .max { return .wait(number) }"),
        Mutant(
            "a release action waits for one that goes first", resources,
            "isReleaser(thread) ? .inside(release.number)",
            "release.thread == thread ? .inside(release.number)"),
        Mutant(
            "a value whose release runs is not found", resources,
            "            ?? running.first { $0.value == ObjectIdentifier(value) }?.number\n", ""),
        Mutant(
            "a group takes a group that it overlaps", resources,
            "($0.end ?? $0.number) <= end }", "$0.number <= end }"),
        Mutant(
            "a release that gave up is forgotten", resources,
            "entries[place].content = walk.content.take()", "entries[place].content = nil"),
        Mutant(
            "what is taken out of the middle stays", resources,
            "let content = entries[place].content.take()", "let content = entries[place].content"),
        Mutant(
            "what is added is not counted as pending", resources,
            "pendingCounts[Int(phase.rawValue)] += 1\n", ""),
    ]

    private static let objects = "Quiesce/Scopes/ManagedObject.swift"
    private static let managedObjects = [
        Mutant("an object keeps nothing", objects, "other.referenceCount.increment()", ""),
        Mutant(
            "a circle may be made", objects,
            "guard !ManagedGraph.keeps(other, child) else { return false }", ""),
        Mutant("an object may keep itself", objects, "if object === other { return true }", ""),
        Mutant(
            "a circle of three may be made", objects, "open += next.parents.load()", ""),
        Mutant("what is kept is not known for it", objects, "other.isKept.store(true)", ""),
        Mutant("a cascade ends early", objects, "kept += object.end()", "_ = object.end()"),
        Mutant("what was kept does not end", objects, "object.endLife()", ""),
        Mutant(
            "what was kept first goes first", objects, "while let object = kept.popLast() {",
            "while !kept.isEmpty { let object = kept.removeFirst()"),
    ]

    private static let walk = "DeviceModel/Devices/Walk.swift"
    private static let links = "DeviceModel/Devices/DeviceLink.swift"
    private static let devices = [
        Mutant(
            "a consumer stays bound", walk,
            "if let consumer { return .consumer(consumer.consumer) }", "_ = consumer"),
        Mutant(
            "a consumer is probed before its supplier is bound", walk,
            "$0.isManaged && $0.supplier.core.withValue { $0.phase != .bound }",
            "$0.isManaged && $0.supplier.core.withValue { $0.phase == .probing }"),
        Mutant(
            "a device that is leaving is probed", walk,
            "guard let bus = core.bus, !core.isLeaving else {",
            "guard let bus = core.bus else {"),
        Mutant(
            "a driver that is leaving probes", walk,
            "guard !entry.isLeaving.load() else { return .refused(.closed(entry.driver.name)) }",
            ""),
        Mutant(
            "what was deferred is not tried again", "DeviceModel/Devices/DeviceGraph.swift",
            "for device in deferred { ready.append(Retry(device: device, drivers: nil)) }", ""),
        Mutant(
            "progress during a probe is overlooked", walk,
            "if state.progress == binding.progress.load() {", "if true {"),
        Mutant(
            "a driver that came meanwhile is forgotten", walk,
            "core.missed = drivers.filter { $0 !== core.binding?.entry } + core.missed", ""),
        Mutant("no driver removes", walk, "callback { binding.remove() }", ""),
        Mutant(
            "the binding's gate stays open", walk, "goals.append(.release(binding, .gate))",
            "goals.append(.release(binding, .resources))"),
        Mutant(
            "a link stays when its consumer is unbound", walk,
            "where link.kind == .managed(endsWith: .consumer) { link.discard() }", "{ _ = link }"),
        Mutant(
            "a parent goes before its child", walk,
            "if let bus = child.core.withValue({ $0.bus }) { return .child(child, bus) }",
            "if let bus = child.core.withValue({ $0.bus }) { _ = bus }"),
        Mutant(
            "an operation may begin to unbind its device", walk,
            "gate?.isAroundCaller == true", "gate?.name.isEmpty == true"),
        Mutant(
            "a walk that gives up unbinds half", walk,
            "stages[ObjectIdentifier(device)].map { .unbinding($0) } ?? .bound",
            "stages[ObjectIdentifier(device)].map { .unbinding($0) } ?? .unbound"),
        Mutant(
            "a parent may need its child", links,
            "if let parent = next.parent { open.append(parent) }", ""),
        Mutant(
            "links may go round", links,
            "if supplier.depends(on: self) { return .failure(.cycle(\"\\(name) needs \\(supplier)\")) }",
            ""),
    ]

    private static let node = "DeviceModel/Files/CharacterDevice.swift"
    private static let openFile = "DeviceModel/Files/OpenFile.swift"
    private static let files = [
        Mutant(
            "an exclusive file keeps nobody out", node,
            "guard !openers.isExclusive, openers.count == 0 || sharing == .shared else {",
            "guard openers.count == 0 || sharing == .shared else {"),
        Mutant("a closed file keeps its place", node, "openers.count -= 1", ""),
        Mutant(
            "a node that goes wakes nobody", node,
            "gate = Gate(name: name, whenClosing: { wakeUps.wake() })", "gate = Gate(name: name)"),
        Mutant(
            "a closed file wakes nobody", node,
            "openers.isExclusive = false\n        }\n        wakeUps.wake()",
            "openers.isExclusive = false\n        }"),
        Mutant(
            "an operation does not enter the node", openFile,
            "try opened.gate.withEntry { _ in", "try Gate().withEntry { _ in"),
        Mutant(
            "who closes second hears nothing", openFile,
            "if try !opened.close(within: timeout) { throw .closed(name) }",
            "_ = try opened.close(within: timeout)"),
        Mutant(
            "a name stays behind", node, "directory?.remove(node)", "_ = directory"),
    ]

    private static let providers = [
        Mutant(
            "a switch that others want on goes off", "DeviceModel/Providers/Provider.swift",
            "if count == 1 { try off() }", "try off()"),
        Mutant(
            "a clock that has gone stays on", "DeviceModel/Providers/ClockProvider.swift",
            "guard enables.reset() > 0 else { return }",
            "guard enables.reset() > 1 else { return }"),
        Mutant(
            "a line has two consumers", "DeviceModel/Providers/GPIOChip.swift",
            "guard consumers[line] == nil else { return false }", ""),
        Mutant(
            "what is to go off later stays on", "DeviceModel/Providers/RegulatorProvider.swift",
            "timer.withLock { $0.take() }?.cancel()",
            "timer.withLock { $0.take() }?.cancel()\n        if deferred.withLock({ $0 > 0 }) { return }"
        ),
    ]
}
