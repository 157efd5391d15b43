// SPDX-License-Identifier: Apache-2.0

import Substrate

// Plain memory: lifetimes and races.
extension Scheduler {
    func allocateStorage(
        size: Int, alignment: Int, name: String, site: Site,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) -> UnsafeMutableRawPointer {
        guard mode != .idle else { return .allocate(byteCount: size, alignment: alignment) }
        trackRaces()
        let isStep = options.reusesAddresses && awaitAllocator()
        let pointer: UnsafeMutableRawPointer
        var former: Int32 = -1
        if options.reusesAddresses, mode == .exploring || mode == .finishing,
            let old = reusableBlock(size),
            let memory = unsafe UnsafeMutableRawPointer(bitPattern: storages[old].base)
        {
            former = storages[old].lifetime
            unsafe storages[old].destroy(memory)
            storages[old].isReused = true
            objects.forget(~storages[old].base)
            unsafe pointer = memory
        } else {
            unsafe pointer = .allocate(byteCount: max(size, 1), alignment: max(alignment, 16))
        }
        let base = UInt(bitPattern: pointer)
        // What died at these addresses in this execution is not what will live there.
        for object in liveObjects(in: base, size) { objects.forget(objects[object].address) }
        unsafe beginLife(base, size, name, site, destroy)
        if former >= 0 { beginSecondLife(of: former, at: base, size) }
        if isStep { commitAllocation(storages[storages.blocks.count - 1].lifetime, former, site) }
        return unsafe pointer
    }

    /// Memory that somebody else allocated has a life from here on, and so has what is inside it
    /// already.
    func adoptStorage(
        _ base: UInt, size: Int, except exempt: UInt, name: String, site: Site,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) {
        guard mode == .exploring || mode == .finishing else { return }
        trackRaces()
        let block = Int32(storages.blocks.count)
        unsafe beginLife(base, size, name, site, destroy)
        storages[Int(block)].isAdopted = true
        storages[Int(block)].exempt = exempt
        for object in liveObjects(in: base, size) {
            if objects[object].address != exempt {
                objects[object].storage = block
                objects[object].lifetime = storages[Int(block)].lifetime
            }
            if let label = names[object] {
                names[object] = "\(storages[Int(block)].name).\(label)"
            }
        }
    }

    private func liveObjects(in base: UInt, _ size: Int) -> [Int32] {
        (0..<objects.limit).filter {
            objects.isLive($0) && (base..<base + UInt(max(size, 1))).contains(objects[$0].address)
        }
    }

    private func beginLife(
        _ base: UInt, _ size: Int, _ name: String, _ site: Site,
        _ destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) {
        // An object number of its own, at an address where nothing else can be.
        let lifetime = objects.find(~base, by: current, isMade: true).object
        let same = storages.blocks.filter { $0.name == name || $0.name.hasPrefix(name + "#") }.count
        var block = unsafe StorageTable.Block(
            base: base, size: size, lifetime: lifetime,
            name: same == 0 ? name : "\(name)#\(same + 1)", site: site,
            destroy: destroy)
        recorder?.note(thread: current, .allocate(block.name), site: site)
        block.allocated = Int32(recorder.map { $0.count - 1 } ?? -1)
        storages.add(block)
        notePlainness()
        names[lifetime] = block.name
    }

    /// Which memory an allocation gets depends on what was freed before: so it is a step. False
    /// when there are no steps now.
    private func awaitAllocator() -> Bool {
        guard mode == .exploring || mode == .finishing else { return false }
        if joinOperation() { return true }
        threads[current].kind = .allocate
        threads[current].object = ObjectTable.allocator
        park(current)
        return mode != .draining
    }

    /// The memory has the life `lifetime` from here on; the one before, if there was one, is over
    /// also for threads that reach for it late.
    private func commitAllocation(_ lifetime: Int32, _ former: Int32, _ site: Site) {
        if isInStep {
            for object in [ObjectTable.allocator, lifetime, former] where object >= 0 {
                touch(object, writes: true)
            }
            return
        }
        var event = Event(threads[current].step(of: current))
        event.footprint.add(ObjectTable.allocator, writes: true)
        event.footprint.add(lifetime, writes: true)
        event.footprint.add(former, writes: true)
        commit(event, site: site)
    }

    /// Whether the step touches memory in its second life: before that began, it would touch the
    /// first.
    func reachesSecondLife(_ event: Event) -> Bool {
        if event.kind == .allocate { return true }
        for index in 0..<Int(event.footprint.count) {
            if let block = storages.block(withLifetime: event.footprint.object(index)),
                storages[block].isSecondLife
            {
                return true
            }
        }
        return false
    }

    /// A thread that is about to reach for the memory that had the life `former` reaches for what
    /// lives there now.
    private func beginSecondLife(of former: Int32, at base: UInt, _ size: Int) {
        let block = storages.blocks.count - 1
        storages[block].isSecondLife = true
        for thread in 0..<threads.count where threads[thread].state == .parked {
            if threads[thread].object == former {
                threads[thread].object = storages[block].lifetime
            }
            for object in [\ThreadRecord.object, \.other] {
                let known = threads[thread][keyPath: object]
                guard objects.isLive(known), threads[thread].kind != .join else { continue }
                let address = objects[known].address
                guard address >= base, address < base + UInt(max(size, 1)) else { continue }
                // The queue of a wait point is found by its word.
                let isQueue = address & 1 == 1
                let (found, isNew) = objects.find(address & ~1, by: thread)
                if isNew { adopt(found) }
                threads[thread][keyPath: object] =
                    isQueue ? objects.companion(of: found, 1) : found
            }
        }
    }

    private func reusableBlock(_ size: Int) -> Int? {
        storages.blocks.lastIndex { $0.isFreed && !$0.isReused && !$0.isAdopted && $0.size == size }
    }

    func free(_ thread: Int32, _ operation: Operation) {
        guard let announced = storages.block(at: operation.object) else {
            return fail(
                .misuse,
                "\(name(ofThread: thread)) freed memory that was not allocated while exploring")
        }
        threads[thread].object = storages[announced].lifetime
        threads[thread].kind = .free
        park(thread)
        if mode == .draining { return }
        // Meanwhile the memory may have come to a second life.
        let index = storages.block(at: operation.object) ?? announced
        threads[thread].object = storages[index].lifetime
        var event = Event(threads[thread].step(of: thread))
        event.footprint.add(storages[index].lifetime, writes: true)
        if options.reusesAddresses { event.footprint.add(ObjectTable.allocator, writes: true) }
        let block = storages[index]
        commit(event, site: operation.site)
        let entry = recorder.map { $0.count - 1 } ?? -1
        if block.isFreed {
            fail(
                .doubleFree,
                "\(name(ofThread: block.freedBy)) freed \(block.name)\(at(block.freed)); \(name(ofThread: thread)) freed it again\(at(Int32(entry)))",
                steps: [Int(block.allocated), Int(block.freed), entry].filter { $0 >= 0 },
                objects: [block.lifetime])
            return
        }
        storages[index].isFreed = true
        storages[index].freedBy = thread
        storages[index].freed = Int32(entry)
    }

    /// How a sentence refers to a recorded step.
    func at(_ entry: Int32) -> String { entry < 0 ? "" : " at step #\(entry)#" }

    /// A step that touches freed memory is late.
    func checkLifetimes(_ event: Event) {
        guard event.kind != .free, event.kind != .allocate else { return }
        for index in 0..<Int(event.footprint.count) {
            let object = event.footprint.object(index)
            guard let index = storages.block(withLifetime: object) else { continue }
            let block = storages[index]
            guard block.isFreed else { continue }
            let entry = recorder.map { $0.count - 1 } ?? -1
            let owner =
                threads[event.thread].isBuffer
                ? threads[event.thread].bufferLink : event.thread
            fail(
                .useAfterFree,
                "\(name(ofThread: block.freedBy)) freed \(block.name)\(at(block.freed)); \(name(ofThread: owner)) \(verb(event)) \(name(of: threads[event.thread].object))\(at(Int32(entry)))",
                steps: [Int(block.allocated), Int(block.freed), entry].filter { $0 >= 0 },
                objects: [object])
        }
    }

    private func verb(_ event: Event) -> String {
        switch event.kind {
        case .load, .readClock, .resume: "read"
        case .lock, .tryLock, .readLock, .tryReadLock, .writeLock, .tryWriteLock, .reacquire,
            .writeRequest:
            "locked"
        case .unlock, .readUnlock, .writeUnlock: "unlocked"
        case .wait, .park: "waited on"
        case .signal, .broadcast, .wake: "signalled"
        case .touch: "used"
        default: "changed"
        }
    }

    func access(_ thread: Int32, _ operation: Operation, writes: Bool) {
        trackRaces()
        let object = object(at: operation.object)
        threads[thread].object = object
        if objects[object].storage >= 0 {
            // Only memory that can be freed makes an access a step; the accesses among themselves
            // are raced for below.
            threads[thread].kind = .touch
            park(thread)
            if mode == .draining { return }
            var event = Event(thread: thread, kind: .touch)
            event.footprint.add(storages[Int(objects[object].storage)].lifetime, writes: false)
            commit(event, site: operation.site)
            recorder?.refine(writes ? .plainWrite : .plainRead)
        } else {
            if let recorder {
                recorder.note(
                    thread: thread, writes ? .plainWrite(object) : .plainRead(object),
                    site: operation.site)
            }
        }
        checkRace(thread, object, operation, writes: writes)
    }

    /// An access within the step of an operation.
    func accessWithin(_ operation: Operation, writes: Bool) {
        trackRaces()
        let object = object(at: operation.object)
        // The accesses among themselves are raced for; that memory may be freed is what the step
        // must tell.
        if objects[object].storage >= 0 {
            touch(storages[Int(objects[object].storage)].lifetime, writes: false)
        }
        checkRace(current, object, operation, writes: writes)
    }

    private func checkRace(_ thread: Int32, _ object: Int32, _ operation: Operation, writes: Bool) {
        guard attention.races else { return }
        let entry = Int32(recorder.map { $0.count - 1 } ?? -1)
        guard let conflict = sync.access(thread, object, writes: writes, entry: entry) else {
            return
        }
        fail(
            .race,
            "\(name(ofThread: conflict.thread)) \(conflict.writes ? "wrote" : "read") \(name(of: object))\(at(conflict.entry)) and \(name(ofThread: thread)) \(writes ? "wrote" : "read") it\(at(entry)); nothing orders the two",
            steps: [Int(conflict.entry), Int(entry)].filter { $0 >= 0 }, objects: [object])
    }

    private func trackRaces() {
        // What happened before in this execution was not tracked, so it is run again.
        if !attention.races { wanted.races = true }
    }

    func checkAfterwards(_ address: UInt, _ site: Site) {
        guard !storages.isEmpty, let index = storages.block(at: address), storages[index].isFreed
        else { return }
        failAfterwards(.useAfterFree, "use", "used", index, site)
    }

    /// What a thread has freed is used or freed once every thread had ended.
    private func failAfterwards(
        _ kind: Verdict.Kind, _ verb: String, _ past: String, _ index: Int, _ site: Site
    ) {
        let block = storages[index]
        recorder?.note(thread: current, .late(verb, of: block.name), site: site)
        let entry = recorder.map { $0.count - 1 } ?? -1
        fail(
            kind,
            "\(name(ofThread: block.freedBy)) freed \(block.name)\(at(block.freed)); \(name(ofThread: current)), when every thread had ended, \(past) it\(at(Int32(entry)))",
            steps: [Int(block.allocated), Int(block.freed), entry].filter { $0 >= 0 },
            objects: [block.lifetime])
    }

    /// What the program does once every thread has ended: nobody is left to interleave with.
    func performAfterwards(_ operation: Operation) -> Bool {
        let (kind, address, site) = (operation.kind, operation.object, operation.site)
        switch kind {
        case .free:
            guard let index = storages.block(at: address) else { return false }
            if storages[index].isFreed {
                failAfterwards(.doubleFree, "free", "freed", index, site)
                return true
            }
            recorder?.note(thread: current, .late("free", of: storages[index].name), site: site)
            storages[index].isFreed = true
            storages[index].freedBy = current
            storages[index].freed = Int32(recorder.map { $0.count - 1 } ?? -1)
        default:
            if let mode = SharedLock.Mode(kind) {
                return lockAfterwards(kind, mode, address, site)
            }
            checkAfterwards(address, site)
            wakeOutside(operation, -1)
        }
        return true
    }

    /// A lock is taken or given back once every thread has ended.
    func lockAfterwards(
        _ kind: OperationKind, _ mode: SharedLock.Mode, _ address: UInt, _ site: Site
    ) -> Bool {
        switch kind {
        case .unlock, .readUnlock, .writeUnlock: checkAfterwards(address, site)
        default: if !mayLockAfterwards(kind, object(at: address), site) { return false }
        }
        return windUpLock(kind, mode, address, site)
    }

    /// False when a try finds a lock that is still held; a wait for it is a deadlock.
    private func mayLockAfterwards(_ kind: OperationKind, _ lock: Int32, _ site: Site) -> Bool {
        let owner = objects[lock].lock.owner
        guard owner >= 0 else { return true }
        if kind == .tryLock || kind == .tryReadLock || kind == .tryWriteLock { return false }
        recorder?.note(thread: current, .late("lock", of: name(of: lock)), site: site)
        fail(
            .deadlock,
            owner == current
                ? "\(name(ofThread: owner)) waits for \(name(of: lock)), which it holds itself"
                : "\(name(of: lock)) is still held by \(name(ofThread: owner)), which has ended",
            steps: recorder.map { [$0.count - 1] } ?? [], objects: [lock])
        return true
    }

    /// Memory that was never freed, once every thread has ended.
    func checkLeaks() {
        guard !storages.isEmpty, let block = storages.blocks.first(where: { !$0.isFreed }) else {
            return
        }
        fail(
            .leak, "\(block.name) was allocated\(at(block.allocated)) and never freed",
            steps: [Int(block.allocated)].filter { $0 >= 0 }, objects: [block.lifetime])
    }

    // MARK: Labels

    func sightObject(_ address: UInt) {
        guard mode == .exploring || mode == .finishing else { return }
        // An allocator gives addresses out again: what died there is not this object.
        objects.forget(address)
        let object = object(at: address, isMade: true)
        if labelledSubject >= 0 { objects[object].subject = labelledSubject }
    }

    func setLabel(_ address: UInt, _ name: String) {
        guard mode == .exploring || mode == .finishing else { return }
        let object = object(at: address)
        let storage = objects[object].storage
        names[object] = storage >= 0 ? "\(storages[Int(storage)].name).\(name)" : name
    }
}
