// SPDX-License-Identifier: Apache-2.0

import Substrate

/// eventfd exactly as the patch was published.
struct PatchedEventfd: EventfdVersion {
    let kernel: EventfdKernel

    /// `eventfd_notifier_register`: the entry is on the queue before the reference is taken and the
    /// bit is set.
    @discardableResult
    func register(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>) -> Bool
    {
        let isSignalled = kernel.poll(
            context, WaitEntry(notifier: notifier) { wakeUp($0, $1) })
        kernel.get(context)
        notifier.pointee.eventfd.store(context)
        kernel.setActive(notifier)
        return isSignalled
    }

    /// `eventfd_notifier_unregister`
    func unregister(_ notifier: Storage<EventfdNotifier>) {
        if kernel.testAndClearActive(notifier), let context = notifier.pointee.eventfd.load() {
            kernel.removeWaitQueue(context, notifier)
            kernel.put(context)
        }
    }

    /// `eventfd_notifier_wakeup`, called with the queue's lock held.
    private func wakeUp(_ notifier: Storage<EventfdNotifier>, _ poll: Poll) {
        switch poll {
        case .pollIn: notifier.pointee.operations.load().signal(notifier)
        case .pollHup:
            if kernel.testAndClearActive(notifier), let context = notifier.pointee.eventfd.load() {
                kernel.removeWaitQueueLocked(context, notifier)
                kernel.put(context)
                notifier.pointee.operations.load().release(notifier)
            }
        }
    }

    /// `eventfd_release`
    func release(_ context: Storage<EventfdContext>) {
        kernel.wakeUpPoll(context, .pollHup)
        kernel.put(context)
    }
}
