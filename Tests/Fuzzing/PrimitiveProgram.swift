// SPDX-License-Identifier: Apache-2.0

package import Explorer
import Quiesce
import Substrate

/// A small program of threads that use Quiesce's primitives, made at random. Their operations are
/// steps.
package struct PrimitiveProgram: FuzzProgram {
    /// One thing that a thread does. Numbers say to which of two items.
    package enum Step: Sendable, CaseIterable, CustomStringConvertible {
        case enqueue0, enqueue1, enqueueFunction, cancel0, disable0, enable0, isPending0, isPending1
        case flush0, cancelAndWait0, disableAndWait0, flushQueue, drain, destroy
        case enter, close, isClosed
        case signal, tryTake, take, hangUp, attach, detach
        case use, revoke
        case drop, find, await, wakeAll, delay, reschedule
        case store, load

        package var description: String {
            switch self {
            case .enqueue0: "enqueue i0"
            case .enqueue1: "enqueue i1"
            case .enqueueFunction: "enqueue function"
            case .cancel0: "cancel i0"
            case .disable0: "disable i0"
            case .enable0: "enable i0"
            case .isPending0: "i0 pending?"
            case .isPending1: "i1 pending?"
            case .flush0: "flush i0"
            case .cancelAndWait0: "cancel i0 and wait"
            case .disableAndWait0: "disable i0 and wait"
            case .flushQueue: "flush"
            case .drain: "drain"
            case .destroy: "destroy"
            case .enter: "enter gate"
            case .close: "close gate"
            case .isClosed: "closed?"
            case .signal: "signal"
            case .tryTake: "try take"
            case .take: "take"
            case .hangUp: "hang up"
            case .attach: "attach"
            case .detach: "detach"
            case .use: "use value"
            case .revoke: "revoke"
            case .drop: "drop"
            case .find: "find"
            case .await: "await w"
            case .wakeAll: "w = 1, wake"
            case .delay: "enqueue d in 1 s"
            case .reschedule: "reschedule d to 2 s"
            case .store: "w = own"
            case .load: "load w"
            }
        }
    }

    package var threads: [[Step]]

    package init(threads: [[Step]]) { self.threads = threads }

    package var description: String {
        threads.map { "[" + $0.map(\.description).joined(separator: "; ") + "]" }.joined(
            separator: " ")
    }

    package func options(_ strategy: ExplorationOptions.Strategy) -> ExplorationOptions {
        ExplorationOptions(strategy: strategy)
    }

    /// Every operation of Substrate a step.
    package var finely: ExplorationOptions? {
        var options = ExplorationOptions(strategy: .random(executions: 300, seed: 7))
        options.granularity = .fine
        return options
    }

    package func exploration(_ options: ExplorationOptions, _ log: FuzzLog) -> Exploration {
        Exploration("fuzz", options: options) { world in
            let state = State(self, log)
            // An object of a program must not outlive its execution.
            log.begin { [weak state] in state?.final ?? "" }
            for (index, steps) in threads.enumerated() where index > 0 {
                world.thread("t\(index)") { for step in steps { state.run(step, "t\(index)") } }
            }
            world.afterwards { state.dropRest() }
            for step in threads[0] { state.run(step, "t0") }
        }
    }

    /// What an operation touches elsewhere is not known.
    package var isExact: Bool { false }

    package var smaller: [PrimitiveProgram] {
        var result: [PrimitiveProgram] = []
        for thread in threads.indices {
            if threads.count > 2 {
                var rest = threads
                rest.remove(at: thread)
                result.append(PrimitiveProgram(threads: rest))
            }
            for step in threads[thread].indices {
                var rest = threads
                rest[thread].remove(at: step)
                result.append(PrimitiveProgram(threads: rest))
            }
        }
        return result
    }

    private final class Counted: ReferenceCounted {
        let referenceCount = ReferenceCount()
        private let log: FuzzLog
        init(_ log: FuzzLog) {
            self.log = log
            referenceCount.label("count")
        }
        func release() { log.see("object", "released") }
    }

    /// A reference that is taken out once.
    private final class Held: @unchecked Sendable {
        // Unchecked: all threads of an execution are fibers of one thread of the system.
        private var reference: Reference<Counted>?
        init(_ reference: consuming Reference<Counted>) { self.reference = consume reference }
        func take() -> Reference<Counted>? { reference.take() }
    }

    /// What the threads of one execution share.
    private final class State: @unchecked Sendable {
        // Unchecked: all threads of an execution are fibers of one thread of the system.
        private let log: FuzzLog
        private let word = Atomic(0)
        private let queue = WorkQueue(name: "queue", .ordered)
        private let items: [Work]
        private let gate = Gate(name: "gate")
        private let event = EventCounter()
        private let notifier = Mutex<Subscription?>(nil)
        private let value = Revocable(7)
        private let object: Counted
        private var held: [String: Held] = [:]
        private let waiting = WaitQueue(name: "waiting")
        private let delayed: DelayedWork

        init(_ program: PrimitiveProgram, _ log: FuzzLog) {
            self.log = log
            object = Counted(log)
            delayed = DelayedWork(name: "d") { log.see("d", "ran") }
            items = (0..<2).map { index in Work(name: "i\(index)") { log.see("i\(index)", "ran") } }
            word.label("w")
            notifier.label("notifier")
            let first = Reference(object)
            for (index, steps) in program.threads.enumerated() where steps.contains(.drop) {
                held["t\(index)"] = Held(first.share())
            }
            if held.isEmpty { held["rest"] = Held(first) } else { first.drop() }
        }

        /// What no thread was to drop.
        func dropRest() { held.removeValue(forKey: "rest")?.take()?.drop() }

        var final: String { "\(word.load(ordering: .relaxed))" }

        func run(_ step: Step, _ thread: String) {
            func see(_ result: Any) { log.see(thread, "\(step): \(result)") }
            func attempt(_ body: () throws -> Any) {
                do { see(try body()) } catch { see("throws") }
            }
            switch step {
            case .enqueue0: see(queue.enqueue(items[0]))
            case .enqueue1: see(queue.enqueue(items[1]))
            case .enqueueFunction: see(queue.enqueue { [log] in log.see("function", "ran") })
            case .cancel0: see(items[0].cancel())
            case .disable0: see(items[0].disable())
            case .enable0: if items[0].isDisabled { see(items[0].enable()) }
            case .isPending0: see(items[0].isPending)
            case .isPending1: see(items[1].isPending)
            case .flush0: attempt { try items[0].flush() }
            case .cancelAndWait0: attempt { try items[0].cancelAndWait() }
            case .disableAndWait0: attempt { try items[0].close() }
            case .flushQueue: attempt { try queue.flush() }
            case .drain: attempt { try queue.drain() }
            case .destroy: attempt { try queue.close() }
            case .enter: see(gate.withEntry { _ in word.load(ordering: .relaxed) } ?? -1)
            case .close: attempt { try gate.close() }
            case .isClosed: see(gate.isClosed)
            case .signal: attempt { try event.signal() }
            case .tryTake: see(event.tryTake() ?? 0)
            case .take: attempt { try event.take() }
            case .hangUp: event.close()
            case .attach:
                attempt {
                    let attached = try event.subscribe { [log] _ in
                        log.see("notifier", "signal")
                    } onClose: { [log] _ in
                        log.see("notifier", "hang-up")
                    }
                    notifier.withLock { $0 = attached }
                    return true
                }
            case .detach:
                if let attached = notifier.withLock({ $0 }) { attempt { try attached.close() } }
            case .use: see(value.withValue { $0 } ?? 0)
            case .revoke: attempt { try value.close() }
            case .drop:
                // Each thread that drops has a reference of its own.
                if let reference = held.removeValue(forKey: thread)?.take() { reference.drop() }
            case .find:
                if let found = object.tryReference() {
                    see(true)
                    found.drop()
                } else {
                    see(false)
                }
            case .await:
                attempt { try waiting.wait { word.load(ordering: .sequentiallyConsistent) != 0 } }
            case .wakeAll:
                word.store(1, ordering: .sequentiallyConsistent)
                waiting.wake()
            case .delay: see(queue.enqueue(delayed, after: .seconds(1)))
            case .reschedule: see(queue.reschedule(delayed, after: .seconds(2)))
            case .store: word.store(1, ordering: .sequentiallyConsistent)
            case .load: see(word.load(ordering: .sequentiallyConsistent))
            }
        }
    }
}

// MARK: Making them

extension PrimitiveProgram {
    private static let themes: [[Step]] = [
        [
            .enqueue0, .enqueue0, .enqueue1, .enqueueFunction, .cancel0, .disable0, .enable0,
            .isPending0, .isPending1,
            .flush0,
            .cancelAndWait0, .disableAndWait0, .flushQueue, .drain, .destroy,
        ],
        [.enter, .enter, .close, .isClosed, .load, .store],
        [.signal, .signal, .tryTake, .take, .hangUp, .load],
        [.attach, .attach, .detach, .signal, .hangUp, .load],
        [.use, .use, .revoke, .load, .store],
        [.drop, .drop, .find, .find, .load],
        [.await, .await, .wakeAll, .store, .load],
        [.delay, .delay, .reschedule, .flushQueue, .drain, .destroy, .enqueue0],
    ]

    package static func random(_ random: inout FuzzGenerator, size: Int) -> PrimitiveProgram {
        let theme = themes[random.below(2) == 0 ? 0 : random.below(themes.count)]
        let count = 2 + random.below(2)
        return PrimitiveProgram(
            threads: (0..<count).map { _ in
                (0..<1 + random.below(max(1, size / count))).map { _ in random.pick(theme) }
            })
    }
}
