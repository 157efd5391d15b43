// SPDX-License-Identifier: Apache-2.0

import Substrate

/// eventfd before the patch: no count but the file's, and a hang-up that takes no lock.
struct OriginalEventfd: EventfdVersion {
    let kernel: EventfdKernel

    /// `eventfd_notifier_register`
    @discardableResult
    func register(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>) -> Bool
    {
        notifier.pointee.eventfd.store(context)
        return kernel.poll(context, WaitEntry(notifier: notifier) { wakeUp($0, $1) })
    }

    /// `eventfd_notifier_unregister`
    func unregister(_ notifier: Storage<EventfdNotifier>) {
        if let context = notifier.pointee.eventfd.load() {
            kernel.removeWaitQueue(context, notifier)
        }
    }

    /// `eventfd_notifier_wakeup`
    private func wakeUp(_ notifier: Storage<EventfdNotifier>, _ poll: Poll) {
        switch poll {
        case .pollIn: notifier.pointee.operations.load().signal(notifier)
        case .pollHup:
            if let context = notifier.pointee.eventfd.load() {
                kernel.removeWaitQueue(context, notifier)
            }
            notifier.pointee.operations.load().release(notifier)
        }
    }

    /// `eventfd_release`: "no need to hold the lock here", says its comment.
    func release(_ context: Storage<EventfdContext>) {
        kernel.wakeUpLockedPoll(context, .pollHup)
        unsafe context.free()
    }
}
