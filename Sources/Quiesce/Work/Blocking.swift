// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Runs `body`, which may block in a way that Quiesce does not see: a read of a file, a semaphore of
/// another library, a call to a server.
///
/// Called by an item of a work queue, it lets the pool run another worker until `body` returns or
/// throws, and start one if none is idle. Items that it waits for can then run, however many items
/// block. Called by any other thread, it only calls `body`.
///
///     queue.enqueue {
///         let count = withBlocking { read(descriptor, buffer, size) }
///         …
///     }
///
/// It is not needed around the waits of Quiesce and of Substrate, which the pool sees; it may stand
/// around them, and inside itself. Do not use it around what computes: more workers would run than
/// there are processors.
///
/// Complexity: a lock of the pool at either end, and a wake-up where another queue waits for a
/// worker. Kernel counterparts: the hooks `wq_worker_sleeping` and `wq_worker_running`, by which the
/// scheduler tells the concurrency management of a `struct worker_pool`.
@available(
    *, noasync,
    message: "it would block a thread of the cooperative pool"
)
public func withBlocking<Result: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
    try BlockingObserver.told(body)
}
