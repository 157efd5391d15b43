// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// Watches descriptors for their waiters: one for a world, with one service thread, which
/// starts with the first interest.
///
/// Several may be interested in one descriptor. A forked child has a poller of its own; interests
/// of before the fork stay behind in its parent. Kernel counterpart: `epoll(7)`, edge-triggered, so
/// that somebody for whom the readiness is not enough (room for 1 where 5 are to be added) is
/// called at the next change and not again and again.
public final class Poller: Sendable, InterestKeeper, ServiceThread.Owner {
    /// The poller of the running thread's world.
    public static var current: Poller { World.current.value(key) { Poller() } }
    static let key = WorldKey<Poller>()

    private let table = Mutex(Table())
    /// A forked child reads it without the lock, as it cannot know which thread held that.
    private let epoll = Atomic<Int32>(-1)
    private let generation = World.generation

    struct Table: Sendable {
        var thread = ServiceThread(name: "poller")
        var entries: [Int32: Entry] = [:]
        /// In the data of an entry, so that what is told of an earlier descriptor with the same
        /// number is not taken for it.
        var generation: UInt32 = 0
    }

    struct Entry: Sendable {
        let generation: UInt32
        var interests: [ObjectIdentifier: Interest] = [:]
        /// What the kernel was asked for. It may be more than anybody still wants.
        var asked: DescriptorReadiness = []

        func data(_ descriptor: Int32) -> UInt64 {
            UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
        }
    }

    enum Request: Int32 {
        case add, change, remove
    }

    init() {}

    // MARK: Waiting

    /// Calls `onReady`, on the poller's thread, when `descriptor` is ready for one of `wants`;
    /// at once when it is ready now.
    ///
    /// The call should be short: those of other descriptors wait for it. It may come when the
    /// readiness is over again.
    ///
    /// - Parameter repeats: whether it is called at every change that makes one of `wants`
    ///   possible. Else it is called once.
    /// - Returns: what cancels it, before the descriptor is closed.
    /// - Throws: `.refused` when the system does: `EBADF`, `EPERM` for a file that is always ready,
    ///   or no memory or thread to give.
    public func wait(
        for descriptor: Int32, _ wants: DescriptorReadiness, repeats: Bool = false,
        onReady: @escaping @Sendable () -> Void
    ) throws(DescriptorError) -> Interest {
        guard Watch.observer == nil else {
            fatalError(
                "an explored thread waits for a descriptor of the system; make the descriptor in the exploration"
            )
        }
        guard !isAbandoned else {
            fatalError("a poller was used in a forked child; ask for Poller.current there")
        }
        let interest = Interest(
            self, descriptor: descriptor, wants: wants, repeats: repeats, onReady: onReady)
        let error: Int32 = table.withLock { table in
            let error = start(&table)
            return error != 0
                ? error
                : Self.add(interest, for: descriptor, to: &table, epoll.load(ordering: .relaxed))
        }
        guard error == 0 else { throw .refused(error) }
        return interest
    }

    private static func add(
        _ interest: Interest, for descriptor: Int32, to table: inout Table, _ epoll: Int32
    ) -> Int32 {
        let isNew = table.entries[descriptor] == nil
        if isNew { table.generation &+= 1 }
        var entry = table.entries[descriptor] ?? Entry(generation: table.generation)
        entry.asked.formUnion(interest.wants)
        // Asked again even for the same: the kernel looks whether it is ready now, and tells.
        let error = ask(epoll, isNew ? .add : .change, descriptor, entry)
        if error == 0 {
            entry.interests[ObjectIdentifier(interest)] = interest
            table.entries[descriptor] = entry
        }
        return error
    }

    private static func ask(
        _ epoll: Int32, _ request: Request, _ descriptor: Int32, _ entry: Entry
    ) -> Int32 {
        let (wants, data) = (entry.asked.rawValue, entry.data(descriptor))
        let error = quiesce_epoll_control(epoll, request.rawValue, descriptor, wants, data)
        // The number was closed and given to another file with interests left, against the rule.
        if error == quiesce_error_missing && request == .change {
            return ask(epoll, .add, descriptor, entry)
        }
        return error
    }

    func forget(_ interest: Interest) {
        table.withLock { table in
            guard var entry = table.entries[interest.descriptor],
                entry.interests.removeValue(forKey: ObjectIdentifier(interest)) != nil
            else { return }
            keep(entry, for: interest.descriptor, in: &table)
        }
    }

    /// Puts an entry back, unless nobody is interested any more.
    private func keep(_ entry: Entry, for descriptor: Int32, in table: inout Table) {
        if entry.interests.isEmpty {
            table.entries[descriptor] = nil
            // Fails when the descriptor was closed against the rule, and then there is nothing to
            // remove.
            _ = Self.ask(epoll.load(ordering: .relaxed), .remove, descriptor, entry)
        } else {
            table.entries[descriptor] = entry
        }
    }

    // MARK: The service thread

    /// Starts watching, unless that was done. Returns 0 or an error number.
    ///
    /// A refusal is told at once, and the next waiter tries again: the caller can do without, and
    /// may be a task, which should not sleep here.
    private func start(_ table: inout Table) -> Int32 {
        if epoll.load(ordering: .relaxed) < 0 {
            let made = quiesce_epoll_create()
            guard made >= 0 else { return -made }
            epoll.store(made, ordering: .releasing)
        }
        do {
            try table.thread.start { self.serve() }
            return 0
        } catch {
            switch error {
            case .refused(let number): return number
            }
        }
    }

    private func serve() {
        let epoll = epoll.load(ordering: .acquiring)
        let none = quiesce_ready(data: 0, readiness: 0)
        var ready = [quiesce_ready](repeating: none, count: 64)
        while true {
            let count = unsafe ready.withUnsafeMutableBufferPointer {
                unsafe quiesce_epoll_wait(epoll, $0.baseAddress!)
            }
            precondition(count >= 0, "the system closed a poller")
            // One lock for all of them; the calls are made without it.
            let due = table.withLock { table in
                ready.prefix(Int(count)).flatMap { takeDue($0, from: &table) }
            }
            for interest in due { interest.ready() }
        }
    }

    /// Those to call for what the kernel told; interests that wanted one call end.
    private func takeDue(_ ready: quiesce_ready, from table: inout Table) -> [Interest] {
        let descriptor = Int32(truncatingIfNeeded: ready.data)
        guard var entry = table.entries[descriptor], entry.data(descriptor) == ready.data else {
            return []
        }
        let readiness = DescriptorReadiness(rawValue: ready.readiness)
        let due = entry.interests.values.filter { $0.matches(readiness) }
        for interest in due where !interest.repeats {
            entry.interests[ObjectIdentifier(interest)] = nil
        }
        keep(entry, for: descriptor, in: &table)
        return due
    }

    // MARK: Forking

    var isAbandoned: Bool { generation != World.generation }

    package func leaveBehind() {
        let epoll = epoll.load(ordering: .relaxed)
        if epoll >= 0 { quiesce_descriptor_close(epoll) }
    }
}
