// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// What a wake-up of the wait queue says.
enum Poll {
    case pollIn, pollHup
}

/// `struct eventfd_ctx`, with its wait queue.
struct EventfdContext: ~Copyable, Sendable {
    /// The patch's private count; the file holds one.
    let kref = Atomic(1)
    /// `wqh.lock` and the list that it protects.
    let lock = Mutex(())
    let waiters = Unsynchronized<[WaitEntry]>([])
    let count = Unsynchronized<UInt64>(0)
}

/// An entry of a wait queue: the waiter, and the function that a wake-up calls with it.
struct WaitEntry: Sendable {
    let notifier: Storage<EventfdNotifier>
    let wake: @Sendable (Storage<EventfdNotifier>, Poll) -> Void
}

extension WaitEntry: CustomStringConvertible {
    var description: String { "\(notifier)" }
}

/// `struct eventfd_notifier`: the client's half.
struct EventfdNotifier: ~Copyable, Sendable {
    /// Bit 0: `eventfd_notifier_flag_active`.
    let flags = Atomic<UInt>(0)
    let eventfd = Unsynchronized<Storage<EventfdContext>?>(nil)
    let operations: Unsynchronized<NotifierOperations>

    init(_ operations: NotifierOperations) {
        self.operations = Unsynchronized(operations)
    }
}

/// `struct eventfd_notifier_ops`: what the client wants to be called.
struct NotifierOperations: Sendable {
    var signal: @Sendable (Storage<EventfdNotifier>) -> Void = { _ in }
    var release: @Sendable (Storage<EventfdNotifier>) -> Void = { _ in }
}

extension NotifierOperations: CustomStringConvertible {
    var description: String { "functions" }
}

/// A version of the notifier interface, for programs that run on more than one.
protocol EventfdVersion: Sendable {
    var kernel: EventfdKernel { get }

    /// `eventfd_notifier_register`: true when the eventfd was signalled already.
    @discardableResult
    func register(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>) -> Bool

    /// `eventfd_notifier_unregister`
    func unregister(_ notifier: Storage<EventfdNotifier>)

    /// `eventfd_release`
    func release(_ context: Storage<EventfdContext>)
}

/// What every form of the story has in common: the wait queue, the counts, the file.
struct EventfdKernel: Sendable {
    let world: ExploredWorld

    func makeContext(name: String = "ctx") -> Storage<EventfdContext> {
        let context = Storage.allocate(EventfdContext(), name: name)
        context.pointee.kref.label("kref")
        context.pointee.lock.label("wqh.lock")
        context.pointee.waiters.label("wqh.list")
        context.pointee.count.label("count")
        return context
    }

    func makeNotifier(
        _ operations: NotifierOperations = NotifierOperations(), name: String = "en"
    ) -> Storage<EventfdNotifier> {
        let notifier = Storage.allocate(EventfdNotifier(operations), name: name)
        notifier.pointee.flags.label("flags")
        notifier.pointee.eventfd.label("eventfd")
        notifier.pointee.operations.label("ops")
        return notifier
    }

    // MARK: Wait queue

    /// `add_wait_queue`
    func addWaitQueue(_ context: Storage<EventfdContext>, _ entry: WaitEntry) {
        context.pointee.lock.lock()
        context.pointee.waiters.withValue { $0.append(entry) }
        context.pointee.lock.unlock()
    }

    /// `eventfd_poll`: adds the entry to the queue, and then looks whether the eventfd is
    /// signalled.
    ///
    /// A signal that comes between the two calls the entry's function and is seen as well.
    func poll(_ context: Storage<EventfdContext>, _ entry: WaitEntry) -> Bool {
        addWaitQueue(context, entry)
        context.pointee.lock.lock()
        let isSignalled = context.pointee.count.load() > 0
        context.pointee.lock.unlock()
        return isSignalled
    }

    /// `remove_wait_queue`
    func removeWaitQueue(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>) {
        context.pointee.lock.lock()
        removeWaitQueueLocked(context, notifier)
        context.pointee.lock.unlock()
    }

    /// `__remove_wait_queue`
    func removeWaitQueueLocked(
        _ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>
    ) {
        context.pointee.waiters.withValue { $0.removeAll { $0.notifier == notifier } }
    }

    /// Whether the notifier's entry is on the queue, whose lock the caller holds.
    func isOnWaitQueue(_ context: Storage<EventfdContext>, _ notifier: Storage<EventfdNotifier>)
        -> Bool
    {
        context.pointee.waiters.load().contains { $0.notifier == notifier }
    }

    /// `wake_up_poll`: with the queue's lock.
    func wakeUpPoll(_ context: Storage<EventfdContext>, _ poll: Poll) {
        context.pointee.lock.lock()
        wakeUpLockedPoll(context, poll)
        context.pointee.lock.unlock()
    }

    /// `wake_up_locked_poll`: trusts its caller to hold the queue's lock.
    func wakeUpLockedPoll(_ context: Storage<EventfdContext>, _ poll: Poll) {
        for entry in context.pointee.waiters.load() { entry.wake(entry.notifier, poll) }
    }

    // MARK: Counts

    /// `_eventfd_put`
    func put(_ context: Storage<EventfdContext>) {
        if context.pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
        {
            unsafe context.free()
        }
    }

    /// `kref_get`
    func get(_ context: Storage<EventfdContext>) {
        context.pointee.kref.wrappingAdd(1, ordering: .relaxed)
    }

    /// `eventfd_signal`: the caller holds the file.
    func signal(_ context: Storage<EventfdContext>) {
        context.pointee.lock.lock()
        context.pointee.count.withValue { $0 += 1 }
        wakeUpLockedPoll(context, .pollIn)
        context.pointee.lock.unlock()
    }

    /// `test_and_clear_active`
    func testAndClearActive(_ notifier: Storage<EventfdNotifier>) -> Bool {
        notifier.pointee.flags.bitwiseAnd(~1, ordering: .acquiringAndReleasing).oldValue & 1 != 0
    }

    /// `set_bit(eventfd_notifier_flag_active, …)`
    func setActive(_ notifier: Storage<EventfdNotifier>) {
        notifier.pointee.flags.bitwiseOr(1, ordering: .releasing)
    }
}

/// The file that user space opened: its last reference, not the context's, ends in
/// `eventfd_release`.
final class EventFile: Sendable {
    private let references: Atomic<Int>
    private let release: @Sendable () -> Void

    /// A file with so many references.
    init(references: Int = 1, release: @escaping @Sendable () -> Void) {
        self.references = Atomic(references)
        self.release = release
        self.references.label("file")
    }

    /// `fput`
    func put() {
        if references.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            release()
        }
    }
}
