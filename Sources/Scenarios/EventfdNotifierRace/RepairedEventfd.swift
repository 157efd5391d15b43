// SPDX-License-Identifier: Apache-2.0

import Substrate

/// eventfd as the patch wanted it: the bit decides who decouples, and `unregister` ends every use.
///
/// Two things differ from the patch. The registration's reference is taken, and the bit is set,
/// before the entry can be seen. And it is `unregister` that gives the reference back, always: so
/// the context outlives it, and when the hang-up has won the bit, `unregister` can pass through the
/// queue's lock, under which the callback runs. After it returns, no callback runs or will run.
struct RepairedEventfd: Sendable {
    /// What `unregister` does when the hang-up came first.
    enum Wait {
        case passThroughLock
        /// As above, unless this thread runs the callback itself.
        case unlessInside
    }

    let kernel: EventfdKernel
    var wait = Wait.passThroughLock

    private static let callbacksUnderWay = ThreadLocal(0)

    func register(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>) {
        kernel.get(context)
        notifier.pointee.eventfd.store(context)
        kernel.setActive(notifier)
        kernel.addWaitQueue(context, WaitEntry(notifier: notifier) { wakeUp($0, $1) })
    }

    /// To be called once for each registration, whether or not the end was heard of.
    func unregister(_ notifier: Storage<EventfdNotifier>) {
        guard let context = notifier.pointee.eventfd.load() else { return }
        if kernel.testAndClearActive(notifier) {
            kernel.removeWaitQueue(context, notifier)
        } else if wait == .passThroughLock || Self.callbacksUnderWay.withValue({ $0 == 0 }) {
            context.pointee.lock.lock()
            context.pointee.lock.unlock()
        }
        kernel.put(context)
    }

    private func wakeUp(_ notifier: Storage<EventfdNotifier>, _ poll: Poll) {
        Self.callbacksUnderWay.withValue { $0 += 1 }
        switch poll {
        case .pollIn: notifier.pointee.operations.load().signal(notifier)
        case .pollHup:
            if kernel.testAndClearActive(notifier), let context = notifier.pointee.eventfd.load() {
                kernel.removeWaitQueueLocked(context, notifier)
                notifier.pointee.operations.load().release(notifier)
            }
        }
        Self.callbacksUnderWay.withValue { $0 -= 1 }
    }

    func release(_ context: Storage<EventfdContext>) {
        kernel.wakeUpPoll(context, .pollHup)
        kernel.put(context)
    }
}
