// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A waiter is resumed under the lock of its handler: apple/swift-nio #2558,
/// apple/swift-async-algorithms #303, unsignedapps/Vexil #153.
@Suite struct WaiterUnderLock {
    private final class Channel: Sendable {
        private let waiter = Mutex<CheckedContinuation<Bool, Never>?>(nil)

        init() { waiter.label("lock") }

        func receive() async -> Bool {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isCancelled = waiter.withLock { waiter in
                        if Task.isCancelled { return true }
                        waiter = continuation
                        return false
                    }
                    if isCancelled { continuation.resume(returning: false) }
                }
            } onCancel: {
                let continuation = waiter.withLock { waiter in
                    defer { waiter = nil }
                    return waiter
                }
                continuation?.resume(returning: false)
            }
        }

        func sendUnderLock() {
            waiter.withLock { waiter in
                waiter?.resume(returning: true)
                waiter = nil
            }
        }

        func send() {
            let continuation = waiter.withLock { waiter in
                defer { waiter = nil }
                return waiter
            }
            continuation?.resume(returning: true)
        }
    }

    private func program(_ send: @escaping @Sendable (Channel) -> Void)
        -> @Sendable (ExploredWorld)
        async throws -> Void
    {
        { _ in
            let channel = Channel()
            let receiver = Task(name: "receiver") { await channel.receive() }
            let sender = Task(name: "sender") { send(channel) }
            let canceller = Task(name: "canceller") { receiver.cancel() }
            await sender.value
            await canceller.value
            // The sender may have come too early; the canceller does not.
            _ = await receiver.value
        }
    }

    @Test func `resuming under the lock of the handler is a deadlock`() async throws {
        try await expectFound(
            .deadlock,
            shows: [
                "sender waits until the cancellation of receiver, carried out by canceller, is over",
                "canceller waits for lock, held by sender", "lock lock", "cancels receiver",
                "sender on canceller", "canceller on sender", "WaiterUnderLock.swift",
            ], columns: ["sender", "canceller", "receiver"], program { $0.sendUnderLock() })
    }

    @Test func `resuming after the lock is right`() async throws {
        try await expectVerified(program { $0.send() })
    }
}
