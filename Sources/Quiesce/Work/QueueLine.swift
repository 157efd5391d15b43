// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Queues that wait for a server, linked through themselves. The pool's lock protects it.
@safe
struct QueueLine {
    private var first: WorkQueue?
    unowned(unsafe) private var last: WorkQueue?

    var isEmpty: Bool { first == nil }

    mutating func append(_ queue: WorkQueue) {
        if let last = unsafe last { last.nextListed.store(queue) } else { first = queue }
        unsafe last = queue
    }

    mutating func popFirst() -> WorkQueue? {
        guard let queue = first else { return nil }
        first = queue.nextListed.load()
        queue.nextListed.store(nil)
        if first == nil { unsafe last = nil }
        return queue
    }
}
