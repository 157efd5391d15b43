// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A work item that can also be enqueued for later. It is pending while its timer runs. Kernel
/// counterpart: `struct delayed_work`.
///
/// All timers of a process share one thread. `flush` ends the wait of a timer: the function runs
/// now.
public final class DelayedWork: WorkItem, @unchecked Sendable {
    public init(
        name: String = "delayed work", file: StaticString = #filePath, line: UInt = #line,
        _ function: @escaping @Sendable () -> Void
    ) {
        super.init(name: name, .plain(function), Site(file, line))
    }

    override func hasten() -> Bool {
        // The timers of a forked child's parent fire there.
        guard let home, home.isOfThisProcess else { return false }
        return home.timers.expire(self)
    }
}
