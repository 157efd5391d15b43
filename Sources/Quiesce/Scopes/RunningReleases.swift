// SPDX-License-Identifier: Apache-2.0

/// The releases of a scope that have begun and not ended.
struct RunningReleases: Sendable {
    /// Mostly there is one, and it has a place of its own: it costs no array.
    private var one: Release?
    private var others: [Release] = []

    struct Release: Sendable {
        /// The resource's.
        let number: UInt64
        let phase: ResourceList.Phase
        let value: ObjectIdentifier?
        /// The thread that runs it; 0 while a task waits for the users of its value.
        var thread: UInt32
    }

    var isEmpty: Bool { one == nil && others.isEmpty }
    var all: [Release] { (one.map { [$0] } ?? []) + others }

    mutating func begin(_ release: Release) {
        if one == nil { one = release } else { others.append(release) }
    }

    /// Takes a release out. False where it is not here.
    mutating func end(_ number: UInt64) -> Bool {
        if one?.number == number {
            one = nil
            return true
        }
        guard let place = others.firstIndex(where: { $0.number == number }) else { return false }
        others.remove(at: place)
        return true
    }

    func first(where isSought: (Release) -> Bool) -> Release? {
        if let one, isSought(one) { return one }
        return others.first(where: isSought)
    }

    subscript(number: UInt64) -> Release? { first { $0.number == number } }

    /// Of a phase's, the one that was added last, between two numbers, and that `thread` does not
    /// run.
    @inline(__always)
    func last(
        of phase: ResourceList.Phase, after start: UInt64, before end: UInt64,
        besides thread: UInt32
    ) -> UInt64? {
        if isEmpty { return nil }
        return all.lazy.filter {
            $0.number > start && $0.number < end && $0.phase == phase && $0.thread != thread
        }.map(\.number).max()
    }

    /// Whether an entry of the list is neither pending nor being released.
    func isGap(_ entry: ResourceList.Resource) -> Bool {
        !entry.isPending && self[entry.number] == nil
    }

    /// Says which thread runs a release; 0 while a task only waits.
    mutating func handOver(_ number: UInt64, to thread: UInt32) {
        if one?.number == number { one?.thread = thread }
        if let place = others.firstIndex(where: { $0.number == number }) {
            others[place].thread = thread
        }
    }
}
