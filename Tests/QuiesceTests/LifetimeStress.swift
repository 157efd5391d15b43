// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Quiesce

/// Real threads against each other; also meant for `swift test --sanitize=thread --filter Stress`.
@Suite(.serialized) struct LifetimeStress {
    /// The event that the client has attached to, for the threads that signal and close it.
    private final class Stage: Sendable {
        private let event = Mutex<EventCounter?>(nil)
        private let isOver = Atomic(false)
        let signals = Atomic(0)

        func show(_ counter: EventCounter?) { event.withLock { $0 = counter } }

        func end() { isOver.store(true, ordering: .releasing) }

        /// Does something to one event after the other.
        func play(_ act: (EventCounter) -> Void) {
            while !isOver.load(ordering: .acquiring) {
                if let counter = event.withLock({ $0 }) { act(counter) }
            }
        }
    }

    /// Plain memory, which the client takes back after it has detached. A callback after that is a
    /// race for a sanitizer to see.
    private final class Memory: @unchecked Sendable {
        var isMine = false
        var calls = 0
    }

    @Test func `after a million detaches no callback has run late`() throws {
        let stage = Stage()
        let late = Mutex(0)
        let signaller = try WorldThread.spawn { stage.play { try? $0.signal() } }
        let closer = try WorldThread.spawn {
            var round = 0
            stage.play {
                round += 1
                if round % 3 == 0 { $0.close() }
            }
        }
        let memory = Memory()
        for round in 0..<1_000_000 {
            memory.isMine = false
            let counter = EventCounter()
            let notifier = try counter.subscribe(
                onSignal: { notifier in
                    if memory.isMine { late.withLock { $0 += 1 } }
                    memory.calls += 1
                    if round % 7 == 0 { _ = try? notifier.close() }
                },
                onClose: { _ in if memory.isMine { late.withLock { $0 += 1 } } })
            stage.show(counter)
            if round % 5 == 0 { try? counter.signal() }
            try notifier.close()
            memory.isMine = true
        }
        stage.end()
        signaller.join()
        closer.join()
        #expect(late.withLock { $0 } == 0)
        #expect(memory.calls > 0)
    }

    /// What is behind a gate: open, until the closer of the gate closes it.
    private final class Resource: @unchecked Sendable {
        let gate = Gate()
        var isOpen = true
    }

    @Test func `nobody is inside a closed gate, whatever thread or task it was`() async throws {
        let current = Mutex(Resource())
        let isOver = Atomic2()
        let wrong = Mutex(0)
        @Sendable func use(_ resource: Resource) {
            if !resource.isOpen { wrong.withLock { $0 += 1 } }
        }
        let users = try (0..<3).map { index in
            Handle(
                try WorldThread.spawn {
                    while !isOver.value.load(ordering: .acquiring) {
                        let resource = current.withLock { $0 }
                        _ = resource.gate.withEntry { _ in
                            use(resource)
                            if index == 0 { _ = resource.gate.withEntry { _ in use(resource) } }
                        }
                    }
                })
        }
        let task = Task {
            while !isOver.value.load(ordering: .acquiring) {
                let resource = current.withLock { $0 }
                let isEntered: Void? = await resource.gate.withTaskEntry { _ in
                    use(resource)
                    await Task.yield()
                    use(resource)
                }
                // Those who close need the thread.
                if isEntered == nil { await Task.yield() }
            }
        }
        for round in 0..<20_000 {
            let resource = current.withLock { $0 }
            if round % 4 == 0 {
                async let other: Void = resource.gate.close()
                try await resource.gate.close()
                try await other
            } else {
                try await resource.gate.close()
            }
            // Plain: everybody who was inside comes before.
            resource.isOpen = false
            current.withLock { $0 = Resource() }
        }
        isOver.value.store(true, ordering: .releasing)
        for user in users { user.join() }
        await task.value
        #expect(wrong.withLock { $0 } == 0)
    }

    @Test func `nobody is inside any of several gates that were closed with one barrier`() throws {
        let current = Mutex([Resource(), Resource()])
        let isOver = Atomic2()
        let wrong = Mutex(0)
        let users = try (0..<2).map { index in
            Handle(
                try WorldThread.spawn {
                    while !isOver.value.load(ordering: .acquiring) {
                        let resource = current.withLock { $0[index] }
                        _ = resource.gate.withEntry { _ in
                            if !resource.isOpen { wrong.withLock { $0 += 1 } }
                        }
                    }
                })
        }
        for _ in 0..<20_000 {
            let resources = current.withLock { $0 }
            try Gate.close(resources.map(\.gate))
            for resource in resources { resource.isOpen = false }
            current.withLock { $0 = [Resource(), Resource()] }
        }
        isOver.value.store(true, ordering: .releasing)
        for user in users { user.join() }
        #expect(wrong.withLock { $0 } == 0)
    }

    private final class Atomic2: Sendable {
        let value = Atomic(false)
    }

    /// A thread that is joined where its value cannot be consumed.
    private final class Handle: Sendable {
        private let thread: Mutex<WorldThread?>

        init(_ thread: consuming WorldThread) { self.thread = Mutex(thread) }

        func join() { thread.withLock { $0.take() }?.join() }
    }

    private final class Object: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let releases: Mutex<Int>.Shared

        init(_ releases: Mutex<Int>.Shared) { self.releases = releases }

        func release() { releases.add(1) }
    }

    @Test func `references that are shared, looked up and dropped release once each`() throws {
        let releases = Mutex<Int>.Shared()
        let table = Mutex<Object?>(nil)
        let isOver = Atomic2()
        let finder = Handle(
            try WorldThread.spawn {
                while !isOver.value.load(ordering: .acquiring) {
                    guard let reference = table.withLock({ $0 })?.tryReference() else { continue }
                    let other = reference.share()
                    other.drop()
                }
            })
        for _ in 0..<100_000 {
            let object = Object(releases)
            let reference = Reference(object)
            table.withLock { $0 = object }
            reference.share().drop()
            reference.drop()
        }
        isOver.value.store(true, ordering: .releasing)
        finder.join()
        #expect(releases.value == 100_000)
    }

    @Test func `every permit that is given is taken once, by threads and tasks alike`() async throws
    {
        let counter = EventCounter(isSemaphore: true)
        let rounds: UInt64 = 20_000
        let takers = try (0..<2).map { _ in
            Handle(try WorldThread.spawn { for _ in 0..<rounds { _ = try? counter.take() } })
        }
        let tasks = (0..<2).map { _ in
            Task { for _ in 0..<rounds { _ = try? await counter.take() } }
        }
        let impatient = Task {
            for _ in 0..<2_000 {
                if (try? await counter.take(until: WorldClock.now() + .microseconds(50))) != nil {
                    try? await counter.add(1)
                }
            }
        }
        for _ in 0..<(4 * rounds / 4) { try await counter.add(4) }
        for taker in takers { await Task.detached { taker.join() }.value }
        for task in tasks { await task.value }
        await impatient.value
        #expect(counter.value == 0)
    }
}

extension Mutex where Value == Int {
    /// A number that threads share.
    fileprivate final class Shared: Sendable {
        private let number = Mutex(0)

        func add(_ amount: Int) { number.withLock { $0 += amount } }
        var value: Int { number.withLock { $0 } }
    }
}
