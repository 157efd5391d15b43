// SPDX-License-Identifier: Apache-2.0

import Substrate

/// An interrupt line with one handler.
final class InterruptLine: Sendable {
    /// Held while the handler runs, so that freeing the line waits for it.
    private let lock = Mutex(())
    private let isRequested = Unsynchronized(false)
    private let handler: @Sendable () -> Void

    init(handler: @escaping @Sendable () -> Void) {
        self.handler = handler
        lock.label("irq.lock")
        isRequested.label("irq.requested")
    }

    /// `request_irq`
    func request() {
        lock.lock()
        isRequested.store(true)
        lock.unlock()
    }

    /// `free_irq`: afterwards the handler neither runs nor will run.
    func free() {
        lock.lock()
        isRequested.store(false)
        lock.unlock()
    }

    /// The hardware asserts the line.
    func assert() {
        lock.lock()
        if isRequested.load() { handler() }
        lock.unlock()
    }
}
