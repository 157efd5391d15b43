// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// What `cancel_work_sync` says holds for the moment: another path that still finds the item can
/// queue it again before its memory is freed. As in CVE-2026-23239 (espintcp), where a socket's
/// callback does.
enum CancelThenFree {
    static let broken = Story(
        "cancel-then-free", text: WorkqueueSelfFree.text, .broken,
        "cancel, then free, another enqueues",
        expecting: .useAfterFree, orElse: [.race]
    ) { world in
        let queue = KernelWorkqueue("wq", in: world)
        let callback = SocketCallback()
        let context = KernelItem.allocate("ctx") { context in
            context.pointee.started.withValue { $0 += 1 }
        }
        world.thread("socket") { callback.callIfSet { queue.queue(context) } }
        world.thread("teardown") {
            queue.cancelSync(context)
            world.note("cancelled")
            callback.clear()
            unsafe context.free()
        }
    }

    static let repaired = Story(
        "cancel-then-free-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: disable, then free"
    ) { world in
        let (item, context) = Context.make()
        let queue = WorkQueue(name: "queue")
        let callback = SocketCallback()
        world.thread("socket") { callback.callIfSet { _ = queue.enqueue(item) } }
        world.thread("teardown") {
            do { try item.close() } catch { expect(false, "\(error)") }
            callback.clear()
            unsafe context.free()
        }
    }
}

/// The same with Quiesce's own `cancelAndWait`, which promises no more; and what else repairs it:
/// the other path is ended first.
enum CancelAndWaitThenFree {
    private static func program(
        _ world: ExploredWorld,
        _ endUse: @escaping @Sendable (Work, SocketCallback) throws(QuiesceError) -> Void
    ) {
        let (item, context) = Context.make()
        let queue = WorkQueue(name: "queue")
        let callback = SocketCallback()
        world.thread("socket") { callback.callIfSet { _ = queue.enqueue(item) } }
        world.thread("teardown") {
            do { try endUse(item, callback) } catch { expect(false, "\(error)") }
            unsafe context.free()
        }
    }

    static let broken = Story(
        "cancel-and-wait", text: WorkqueueSelfFree.text, .broken,
        "WorkQueue: cancelAndWait, then free",
        expecting: .useAfterFree, orElse: [.race]
    ) { world in
        program(world) { item, callback throws(QuiesceError) in
            try item.cancelAndWait()
            world.note("cancelled")
            callback.clear()
        }
    }

    static let repaired = Story(
        "cancel-and-wait-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: other path ended, then cancel"
    ) { world in
        program(world) { item, callback throws(QuiesceError) in
            callback.clear()
            try item.cancelAndWait()
        }
    }
}

/// What the item's function uses.
private struct Context: ~Copyable, Sendable {
    let sent = Unsynchronized(0)

    /// A context, and the item that sends what is in it.
    static func make() -> (item: Work, context: Storage<Context>) {
        let context = Storage.allocate(Context(), name: "ctx")
        context.pointee.sent.label("sent")
        return (Work(name: "send") { context.pointee.sent.withValue { $0 += 1 } }, context)
    }
}

/// `sk->sk_write_space`, under `sk->sk_callback_lock`.
private final class SocketCallback: Sendable {
    private let isSet = Mutex(true)

    init() { isSet.label("sk.lock") }

    func callIfSet(_ callback: () -> Void) { isSet.withLock { if $0 { callback() } } }

    func clear() { isSet.withLock { $0 = false } }
}
