// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The part of a scope that does not depend on its lifetime: the list of resources, its lock, and
/// the threads and tasks that wait for releases.
struct ScopeEngine: ~Copyable, Sendable {
    let name: String
    private let list = Mutex(ResourceList())
    private let whole = Subject()
    private let waiters = Waiters()
    private let releases: WaitClass

    init(_ name: String, _ releases: WaitClass) {
        self.name = name
        self.releases = releases
    }

    /// Names what it is made of. Call it in the initializer of its owner, where it is not moved any
    /// more.
    func label() {
        whole.label(name) { list.label(name + ".list") }
        waiters.label(name)
    }

    var waitClass: WaitClass { releases.of(whole.address) }

    /// Runs `body`, which changes the list, as one operation.
    func change<Result>(
        _ what: StaticString, _ body: (inout ResourceList) -> sending Result
    ) -> Result {
        whole.write(what) { locked(body) }
    }

    /// Runs `body`, which only looks at the list, as one operation.
    func look<Result>(_ body: (inout ResourceList) -> sending Result) -> Result {
        whole.read("look at") { locked(body) }
    }

    private func locked<Result>(_ body: (inout ResourceList) -> sending Result) -> Result {
        ForkSection.run {
            list.withLock { list in
                list.checkFork()
                return body(&list)
            }
        }
    }

    // MARK: Adding

    func add(
        _ name: String, _ content: consuming ResourceList.Content, _ phase: ResourceList.Phase
    ) throws(QuiesceError) -> ResourceID {
        var resource: ResourceList.Resource? = ResourceList.Resource(
            name, content, phase, by: World.currentThread)
        if let number = change("add to", { $0.add(&resource) }) {
            return ResourceID(number: number)
        }
        do {
            switch resource?.content {
            case .action(let release): try release()
            case .value(let value):
                // Nobody has it yet.
                try value.drain(until: nil)
                try value.finish()
            case nil: break
            }
        } catch {
            throw .releasesFailed(of: self.name, [ReleaseFailure(name, error)])
        }
        throw .closed(self.name)
    }

    /// Runs `body`, and if it throws, releases what this thread has added to the scope meanwhile.
    func releasingOnFailure<Result: ~Copyable>(_ name: String, _ body: () throws -> Result) throws
        -> Result
    {
        let start = look { $0.following }
        do { return try body() } catch {
            let thread = World.currentThread
            let walk = look { $0.walk(overThoseSince: start, by: thread) }
            try release(walk, after: ReleaseFailure(name, error))
            throw error
        }
    }

    // MARK: Walking

    /// Releases all up to `end`.
    func release(
        upTo end: ResourceList.Phase, closing isClosing: Bool, until deadline: WorldClock.Instant?
    ) throws(QuiesceError) -> Int {
        try release(begin(upTo: end, closing: isClosing), until: deadline)
    }

    func release(
        upTo end: ResourceList.Phase, closing isClosing: Bool, until deadline: WorldClock.Instant?
    ) async throws -> Int {
        try await release(begin(upTo: end, closing: isClosing), until: deadline)
    }

    func release(_ walk: ReleaseWalk, until deadline: WorldClock.Instant?)
        throws(QuiesceError) -> Int
    {
        var walk = walk
        do { try run(&walk, until: deadline) } catch {
            throw walk.ending(of: name, with: error) ?? error
        }
        return try walk.result(of: name)
    }

    func release(_ walk: ReleaseWalk, until deadline: WorldClock.Instant?) async throws -> Int {
        var walk = walk
        do { try await run(&walk, until: deadline) } catch {
            throw walk.ending(of: name, with: error) ?? error
        }
        return try walk.result(of: name)
    }

    /// Releases what was acquired before `failure`.
    func release(_ walk: ReleaseWalk, after failure: ReleaseFailure) throws(QuiesceError) {
        var walk = walk
        try run(&walk, until: nil)
        if !walk.failures.isEmpty { throw .releasesFailed(of: name, [failure] + walk.failures) }
    }

    /// Begins to release all up to `end`: forgets the groups, and, where the scope closes, refuses
    /// what comes too late.
    private func begin(upTo end: ResourceList.Phase, closing isClosing: Bool)
        throws(QuiesceError) -> ReleaseWalk
    {
        let thread = World.currentThread
        let walk: ReleaseWalk? = change(isClosing ? "close" : "release all of") { list in
            if list.isReleaser(thread) { return nil }
            if isClosing { list.refuse(before: end) }
            if end == .over { list.removeGroups() }
            return list.walk(upTo: end)
        }
        guard let walk else { throw .inside(of: name) }
        return walk
    }

    /// Runs the releases of a walk. When a wait is over before its time, the resource that was
    /// waited for is in the scope again.
    private func run(_ walk: inout ReleaseWalk, until deadline: WorldClock.Instant?)
        throws(QuiesceError)
    {
        let thread = World.currentThread
        while let step = try next(&walk, thread) {
            switch step {
            case .wait(let number):
                let start = deadline.map { _ in WorldClock.now() }
                let ending = waiters.wait(
                    for: waitClass, name, until: deadline, { !isBeingReleased(number) })
                if ending != nil { throw failure(since: start) }
            case .run:
                do throws(QuiesceError) { try walk.content?.value?.drain(until: deadline) } catch {
                    giveUp(&walk)
                    throw error
                }
                finish(&walk)
            case .inside, .done: return
            }
        }
    }

    private func run(_ walk: inout ReleaseWalk, until deadline: WorldClock.Instant?) async throws {
        // A task that waits is on no thread, and what runs on this one meanwhile is not inside.
        while let step = try next(&walk, World.currentThread) {
            switch step {
            case .wait(let number):
                let start = deadline.map { _ in WorldClock.now() }
                if let ending = await waiters.wait(
                    for: waitClass, name, until: deadline, { !isBeingReleased(number) })
                {
                    throw ending.error(failure(since: start))
                }
            case .run:
                if let value = walk.content?.value {
                    let number = walk.begun
                    change("wait in") { $0.handOver(number, to: 0) }
                    do { try await value.drain(until: deadline) } catch {
                        giveUp(&walk)
                        throw error
                    }
                    let thread = World.currentThread
                    change("go on in") { $0.handOver(number, to: thread) }
                }
                finish(&walk)
            case .inside, .done: return
            }
        }
    }

    /// The next step of a walk, after its last one has ended; nil when there is none.
    private func next(_ walk: inout ReleaseWalk, _ thread: UInt32) throws(QuiesceError)
        -> ResourceList.Step?
    {
        let hasEnded = walk.hasEnded
        let step = change("release from") { list in
            if hasEnded {
                walk.hasEnded = false
                if let error = walk.error.take() {
                    walk.failures.append(ReleaseFailure(list.name(of: walk.begun), error))
                }
                list.finish(walk.begun)
            }
            return list.next(&walk, by: thread)
        }
        if hasEnded { waiters.wake() }
        switch step {
        case .done: return nil
        case .inside(let number):
            throw .inside(of: name, item: "the release of \(look { $0.name(of: number) })")
        case .run, .wait: return step
        }
    }

    /// Calls the release of the resource that a walk has begun, and that has no users any more.
    @inline(__always)
    private func finish(_ walk: inout ReleaseWalk) {
        do {
            switch walk.content.take() {
            case .action(let release): try waitClass.section(name) { try release() }
            case .value(let value): try waitClass.section(name) { try value.finish() }
            case nil: break
            }
        } catch {
            walk.error = error
        }
        walk.count += 1
        walk.hasEnded = true
    }

    private func giveUp(_ walk: inout ReleaseWalk) {
        change("give up in") { $0.giveUp(&walk) }
        waiters.wake()
    }

    private func isBeingReleased(_ number: UInt64) -> Bool {
        look { $0.isBeingReleased(number) }
    }

    private func failure(since start: WorldClock.Instant?) -> QuiesceError {
        let now = WorldClock.now()
        return .timedOut(
            of: name,
            occupants: look { $0.occupants(from: start ?? now, to: now) })
    }
}
