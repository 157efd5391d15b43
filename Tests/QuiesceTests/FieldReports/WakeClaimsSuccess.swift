// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A wake that claims success: microsoft/litebox #809.
@Suite struct WakeClaimsSuccess {
    /// A lock for writers and one reader. A writer that has slept keeps the mark of waiting
    /// writers when it takes the lock, as there may be more of them.
    private final class ReaderWriterLock: Sendable {
        private struct State {
            var isHeld = false
            var readerWaits = false
            var writerWaits = false
        }

        private let state = Mutex(State())
        private let reader = WaitPoint()
        private let writers = WaitPoint()
        /// What the platform's wake answers, whether it woke a thread or not.
        private let claimsSuccess: Bool

        init(claimsSuccess: Bool) {
            self.claimsSuccess = claimsSuccess
            state.label("state")
            reader.label("reader")
            writers.label("writers")
        }

        func lock() {
            var hasSlept = false
            while true {
                let wakes = writers.word.load(ordering: .acquiring)
                let isMine = state.withLock { state in
                    defer { state.isHeld = true }
                    state.writerWaits = state.writerWaits || state.isHeld || hasSlept
                    return !state.isHeld
                }
                if isMine { return }
                writers.wait(while: wakes)
                hasSlept = true
            }
        }

        func lockForReading() {
            while true {
                let wakes = reader.word.load(ordering: .acquiring)
                let isMine = state.withLock { state in
                    state.readerWaits = state.isHeld || state.writerWaits
                    guard !state.readerWaits else { return false }
                    state.isHeld = true
                    return true
                }
                if isMine { return }
                reader.wait(while: wakes)
            }
        }

        func unlock() {
            let hasWriter = state.withLock { state in
                defer { state.writerWaits = false }
                state.isHeld = false
                return state.writerWaits
            }
            if hasWriter, wake(writers) { return }
            let hasReader = state.withLock { state in
                guard !state.isHeld, !state.writerWaits else { return false }
                defer { state.readerWaits = false }
                return state.readerWaits
            }
            if hasReader { _ = wake(reader) }
        }

        private func wake(_ point: borrowing WaitPoint) -> Bool {
            point.word.wrappingAdd(1, ordering: .releasing)
            point.wake(1)
            return claimsSuccess
        }
    }

    private func program(claimsSuccess: Bool) -> (ExploredWorld) -> Void {
        { world in
            let lock = ReaderWriterLock(claimsSuccess: claimsSuccess)
            lock.lock()
            world.thread("writer") {
                lock.lock()
                lock.unlock()
            }
            world.thread("reader") {
                lock.lockForReading()
                lock.unlock()
            }
            lock.unlock()
        }
    }

    @Test func `the reader is left to a writer that does not wait`() throws {
        try expectFound(
            .lostWakeUp,
            shows: [
                "reader waits on reader and nobody is left", "wake writers: nobody",
            ],
            columns: ["main", "writer", "reader"], program(claimsSuccess: true))
    }

    @Test func `a wake that never claims success lets the reader be woken too`() throws {
        try expectVerified(program(claimsSuccess: false))
    }
}
