// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct AsyncSemaphoreTests {
    @Test(.everyInterleaving)
    func `a semaphore keeps its permits`() async throws {
        try await cancelWhoWaits(AsyncSemaphore.self)
    }

    @Test(.finds(.neverResumed, at: "BrokenAsyncSemaphore.wait()"), .everyInterleaving)
    func `a broken semaphore loses a permit`() async throws {
        try await cancelWhoWaits(BrokenAsyncSemaphore.self)
    }

    @Test(.everyInterleaving)
    func `a semaphore is signalled while a waiter is cancelled`() async throws {
        try await signalAndCancel(AsyncSemaphore.self)
    }

    @Test(.finds(.deadlock, at: "LockedAsyncSemaphore.swift"), .everyInterleaving)
    func `a semaphore that resumes under its lock meets a cancellation`() async throws {
        try await signalAndCancel(LockedAsyncSemaphore.self)
    }

    /// One task signals while another cancels the waiter.
    private func signalAndCancel<S: Waiting>(_: S.Type) async throws {
        let semaphore = S(permits: 0)
        let waiter = Task(name: "waiter") { try await semaphore.wait() }
        let signaller = Task(name: "signaller") { semaphore.signal() }
        waiter.cancel()
        await signaller.value
        _ = await waiter.result
    }

    private func cancelWhoWaits<S: Waiting>(_: S.Type) async throws {
        let semaphore = S(permits: 1)
        try await semaphore.wait()
        let impatient = Task(name: "impatient") {
            try await semaphore.wait()
            semaphore.signal()
        }
        semaphore.signal()
        impatient.cancel()
        try await semaphore.wait()
    }
}

private protocol Waiting: Sendable {
    init(permits: Int)
    func wait() async throws
    func signal()
}

extension AsyncSemaphore: Waiting {}
extension BrokenAsyncSemaphore: Waiting {}
extension LockedAsyncSemaphore: Waiting {}
