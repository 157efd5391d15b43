// SPDX-License-Identifier: Apache-2.0

import Substrate

/// eventfd as the patch wanted it: the bit decides which thread decouples, and `unregister` ends
/// every use.
///
/// Three things differ from the patch. The registration's reference is taken, and the bit is set,
/// before the entry can be seen. It is `unregister` that gives the reference back, always: so the
/// context outlives it, and `unregister` can take the queue's lock, under which callbacks run,
/// whether or not the hang-up came first. And `unregister` knows when the calling thread holds that
/// lock already, because the thread runs a callback of this eventfd. After `unregister` returns, no
/// callback of the notifier starts, and none runs but the one that called it.
struct RepairedEventfd: EventfdVersion {
    /// When `unregister` takes the lock of the queue.
    enum Locking {
        case always
        /// Unless the calling thread runs a callback of the same eventfd.
        case outsideCallbacks
    }

    let kernel: EventfdKernel
    var locking = Locking.outsideCallbacks

    /// The eventfds whose callbacks the thread runs, innermost last: it holds the locks of their
    /// queues. Callbacks of other eventfds run elsewhere, and `unregister` has to wait for those.
    private static let callbacksUnderWay = ThreadLocal<[Storage<EventfdContext>]>([])

    @discardableResult
    func register(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>) -> Bool
    {
        kernel.get(context)
        notifier.pointee.eventfd.store(context)
        kernel.setActive(notifier)
        return kernel.poll(
            context, WaitEntry(notifier: notifier) { wakeUp($0, $1, of: context) })
    }

    /// Must be called once for each registration, whether or not the client heard of the end.
    func unregister(_ notifier: Storage<EventfdNotifier>) {
        guard let context = notifier.pointee.eventfd.load() else { return }
        let isRegistered = kernel.testAndClearActive(notifier)
        if locking == .outsideCallbacks, isInsideCallback(of: context) {
            if isRegistered { kernel.removeWaitQueueLocked(context, notifier) }
        } else {
            // Where the hang-up came first, this waits for its callback.
            context.pointee.lock.lock()
            if isRegistered { kernel.removeWaitQueueLocked(context, notifier) }
            context.pointee.lock.unlock()
        }
        kernel.put(context)
    }

    private func isInsideCallback(of context: Storage<EventfdContext>) -> Bool {
        Self.callbacksUnderWay.withValue { $0.contains(context) }
    }

    /// Called with the queue's lock held.
    private func wakeUp(
        _ notifier: Storage<EventfdNotifier>, _ poll: Poll, of context: Storage<EventfdContext>
    ) {
        // A callback of the same wake-up may have unregistered this notifier, and freed it.
        guard kernel.isOnWaitQueue(context, notifier) else { return }
        Self.callbacksUnderWay.withValue { $0.append(context) }
        defer { Self.callbacksUnderWay.withValue { _ = $0.removeLast() } }
        switch poll {
        case .pollIn: notifier.pointee.operations.load().signal(notifier)
        case .pollHup:
            if kernel.testAndClearActive(notifier) {
                kernel.removeWaitQueueLocked(context, notifier)
                notifier.pointee.operations.load().release(notifier)
            }
        }
    }

    func release(_ context: Storage<EventfdContext>) {
        kernel.wakeUpPoll(context, .pollHup)
        kernel.put(context)
    }
}
