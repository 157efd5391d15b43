// SPDX-License-Identifier: Apache-2.0

package import Substrate

extension ResourceScope {
    // MARK: One resource

    /// Releases a resource now, and before it what was declared to go before it. Kernel:
    /// `devm_release_action`.
    ///
    /// A second caller waits until the release is over; in a release action of this scope it does
    /// not wait. A resource that is not here has been released.
    ///
    /// - Returns: whether this call released it.
    /// - Throws: `.releasesFailed`, and then it is released all the same; `.inside` from the
    ///   resource's own release; `.timedOut`, which names the releases that run.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func release(_ resource: ResourceID, within timeout: Duration? = nil)
        throws(QuiesceError) -> Bool
    {
        try release(
            ResourceList.walk(over: [resource.number]),
            until: WorldClock.deadline(within: timeout)) > 0
    }

    /// Releases a resource now, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    @discardableResult
    public func release(_ resource: ResourceID, within timeout: Duration? = nil) async throws
        -> Bool
    {
        try await release(
            ResourceList.walk(over: [resource.number]),
            until: WorldClock.deadline(within: timeout)) > 0
    }

    // MARK: All resources

    /// Releases all that is in the scope, which stays open. Kernel: `devres_release_all`.
    ///
    /// What is added meanwhile stays. Groups are forgotten.
    ///
    /// - Returns: how many resources this call released.
    /// - Throws: as `close()`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func releaseAll(within timeout: Duration? = nil) throws(QuiesceError) -> Int {
        try release(
            begin(upTo: .over, closing: false), until: WorldClock.deadline(within: timeout))
    }

    /// Releases all that is in the scope, as the blocking spelling.
    @discardableResult
    public func releaseAll(within timeout: Duration? = nil) async throws -> Int {
        try await release(
            begin(upTo: .over, closing: false), until: WorldClock.deadline(within: timeout))
    }

    /// Ends the registrations, and takes no more of them: no new user comes in. The first part of
    /// `close()`, for a driver whose `remove` comes between the two.
    ///
    /// - Throws: as `close()`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func closeRegistrations(within timeout: Duration? = nil) throws(QuiesceError) {
        try closeRegistrations(until: WorldClock.deadline(within: timeout))
    }

    /// Ends the registrations, as the blocking spelling.
    public func closeRegistrations(within timeout: Duration? = nil) async throws {
        try await closeRegistrations(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func closeRegistrations(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        _ = try release(begin(upTo: .resources, closing: true), until: deadline)
    }

    package func closeRegistrations(until deadline: WorldClock.Instant?) async throws {
        _ = try await release(begin(upTo: .resources, closing: true), until: deadline)
    }

    /// Ends the scope: takes nothing more, and releases all that is in it. Closing again waits
    /// until all is released.
    ///
    /// Registrations go first, associations last; what is in between is released in reverse order,
    /// but for what was declared to go before.
    ///
    /// - Throws: `.releasesFailed` when releases threw; the others took place. `.inside` when the
    ///   caller is a release action of this scope, and nothing has changed; or when it uses a value
    ///   of the scope. `.timedOut`, which names those that the close waited for. In the last two
    ///   cases the scope stays closing, and another `close` goes on.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(within timeout: Duration? = nil) throws(QuiesceError) {
        try close(until: WorldClock.deadline(within: timeout))
    }

    /// Ends the scope, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; the scope stays closing.
    public func close(within timeout: Duration? = nil) async throws {
        try await close(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func close(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        _ = try release(begin(upTo: .over, closing: true), until: deadline)
    }

    package func close(until deadline: WorldClock.Instant?) async throws {
        _ = try await release(begin(upTo: .over, closing: true), until: deadline)
    }

    // MARK: Walking

    func release(_ walk: ResourceList.Walk, until deadline: WorldClock.Instant?)
        throws(QuiesceError) -> Int
    {
        var walk = Walking(over: walk)
        do { try run(&walk, until: deadline) } catch {
            throw walk.ending(of: name, with: error) ?? error
        }
        return try walk.result(of: name)
    }

    func release(_ walk: ResourceList.Walk, until deadline: WorldClock.Instant?) async throws -> Int
    {
        var walk = Walking(over: walk)
        do { try await run(&walk, until: deadline) } catch {
            throw walk.ending(of: name, with: error) ?? error
        }
        return try walk.result(of: name)
    }

    /// Releases what was acquired before `failure`.
    func release(_ walk: ResourceList.Walk, after failure: ReleaseFailure) throws(QuiesceError) {
        var walk = Walking(over: walk)
        try run(&walk, until: nil)
        if !walk.failures.isEmpty { throw .releasesFailed(of: name, [failure] + walk.failures) }
    }

    /// Begins to release all up to `end`: forgets the groups, and, where the scope closes, refuses
    /// what comes too late.
    private func begin(upTo end: ResourceList.Phase, closing isClosing: Bool)
        throws(QuiesceError) -> ResourceList.Walk
    {
        let thread = World.currentThread
        let walk: ResourceList.Walk? = change(isClosing ? "close" : "release all of") { list in
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
    private func run(_ walk: inout Walking, until deadline: WorldClock.Instant?)
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
            case .run(let begun):
                do throws(QuiesceError) {
                    if case .value(let value) = begun.content { try value.drain(until: deadline) }
                } catch {
                    giveUp(begun)
                    throw error
                }
                finish(begun, &walk)
            case .inside, .done: return
            }
        }
    }

    private func run(_ walk: inout Walking, until deadline: WorldClock.Instant?) async throws {
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
            case .run(let begun):
                if case .value(let value) = begun.content {
                    change("wait in") { $0.handOver(begun.number, to: 0) }
                    do { try await value.drain(until: deadline) } catch {
                        giveUp(begun)
                        throw error
                    }
                    let thread = World.currentThread
                    change("go on in") { $0.handOver(begun.number, to: thread) }
                }
                finish(begun, &walk)
            case .inside, .done: return
            }
        }
    }

    /// The next step of a walk, after its last one has ended; nil when there is none.
    private func next(_ walk: inout Walking, _ thread: UInt32) throws(QuiesceError)
        -> ResourceList.Step?
    {
        let ended = walk.ended
        walk.ended = nil
        var list = walk.walk
        let step = change("release from") {
            if let ended { $0.finish(ended) }
            return $0.next(&list, by: thread)
        }
        walk.walk = list
        if ended != nil { waiters.wake() }
        switch step {
        case .done: return nil
        case .inside(let resource): throw .inside(of: name, item: "the release of \(resource)")
        case .run, .wait: return step
        }
    }

    /// Calls the release of a resource that has no users any more.
    private func finish(_ begun: ResourceList.Begun, _ walk: inout Walking) {
        do {
            switch begun.content {
            case .action(let release): try waitClass.section(name) { try release() }
            case .value(let value): try waitClass.section(name) { try value.finish() }
            case .opening, .closing, .none: break
            }
        } catch {
            walk.failures.append(ReleaseFailure(begun.name, error))
        }
        walk.count += 1
        walk.ended = begun.number
    }

    private func giveUp(_ begun: ResourceList.Begun) {
        change("give up in") { $0.giveUp(begun) }
        waiters.wake()
    }

    private func isBeingReleased(_ number: UInt64) -> Bool {
        change("look at", writes: false) { $0.isBeingReleased(number) }
    }

    private func failure(since start: WorldClock.Instant?) -> QuiesceError {
        let now = WorldClock.now()
        return .timedOut(
            of: name,
            occupants: change("look at", writes: false) {
                $0.occupants(from: start ?? now, to: now)
            })
    }
}

/// A walk, and what it has come to.
struct Walking {
    var walk: ResourceList.Walk
    /// The release that was run last, and that the list does not know to be over.
    var ended: UInt64?
    var count = 0
    var failures: [ReleaseFailure] = []

    init(over walk: ResourceList.Walk) { self.walk = walk }

    /// What a walk throws that `error` has ended: the failures of before must not be lost.
    func ending(of scope: String, with error: any Error) -> QuiesceError? {
        guard !failures.isEmpty else { return nil }
        return .releasesFailed(of: scope, failures + [.rest(error)])
    }

    func result(of scope: String) throws(QuiesceError) -> Int {
        guard failures.isEmpty else { throw .releasesFailed(of: scope, failures) }
        return count
    }
}
