// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The states that the objects of an execution have had, one version after the other.
final class ObjectVersions {
    private let versions = Stack<Version>(capacity: 512)
    /// By object: its last version, -1 for none.
    private let lastOf = Stack<Int32>(capacity: 128)

    /// The state of an object after an event.
    struct Version: BitwiseCopyable {
        /// -1 where the state is that before all events.
        var event: Int32
        var object: Int32
        /// The object's version before.
        var previous: Int32 = -1
        /// How many readers of a lock more there are: such changes commute. 0 for all others.
        var readers: Int32 = 0
        var state: Bits
    }

    subscript(index: Int32) -> Version {
        @inline(__always) get { versions[Int(index)] }
    }

    /// The last version of `object`, -1 for none.
    @inline(__always)
    func last(of object: Int32) -> Int32 {
        Int(object) < lastOf.count ? lastOf[Int(object)] : -1
    }

    /// The event at `position` has changed an object.
    @inline(__always)
    func add(_ change: StateChange, by position: Int) {
        if let before = change.before, last(of: change.object) < 0 {
            add(Version(event: -1, object: change.object, state: before))
        }
        add(
            Version(
                event: Int32(truncatingIfNeeded: position), object: change.object,
                readers: change.readers, state: change.state))
    }

    @inline(__always)
    private func add(_ version: Version) {
        let object = Int(version.object)
        if object >= lastOf.count { makeRoom(for: object) }
        var version = version
        version.previous = lastOf[object]
        lastOf[object] = Int32(truncatingIfNeeded: versions.count)
        versions.append(version)
    }

    @inline(never)
    private func makeRoom(for object: Int) { lastOf.extend(to: object &+ 1, with: -1) }

    /// Forgets what the events from `count` on have left.
    func truncate(to count: Int) {
        while versions.count > 0, Int(versions[versions.count - 1].event) >= count {
            drop()
            // The state before all events was remembered for the version after it.
            if versions.count > 0, versions[versions.count - 1].event < 0 { drop() }
        }
    }

    private func drop() {
        let version = versions[versions.count - 1]
        lastOf[Int(version.object)] = version.previous
        versions.truncate(to: versions.count - 1)
    }
}
