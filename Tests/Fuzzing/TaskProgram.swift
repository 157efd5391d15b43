// SPDX-License-Identifier: Apache-2.0

package import Explorer
import Quiesce
import Substrate

/// A small program of tasks, made at random.
package struct TaskProgram: FuzzProgram {
    /// One thing that a task does. Numbers say to which of a few objects or tasks.
    package indirect enum Step: Sendable, CustomStringConvertible {
        case load(Int), store(Int), add(Int), locked(Int)
        case visit(Int), main, yield, sleep(milliseconds: Int)
        case cancel(Int), isCancelled, handled([Step])
        case group([[Step]]), child([Step], [Step])
        case suspend(Int), resume(Int), send(Int), receive, thread([Step])
        case signal, take, enter, close

        package var description: String {
            func list(_ steps: [Step]) -> String {
                steps.map(\.description).joined(separator: "; ")
            }
            return switch self {
            case .load(let word): "load w\(word)"
            case .store(let word): "w\(word) = own"
            case .add(let word): "w\(word) += 1"
            case .locked(let word): "lock {w\(word) = own}"
            case .visit(let actor): "visit a\(actor)"
            case .main: "visit main"
            case .yield: "yield"
            case .sleep(let milliseconds): "sleep \(milliseconds) ms"
            case .cancel(let task): "cancel t\(task)"
            case .isCancelled: "cancelled?"
            case .handled(let steps): "handled {\(list(steps))}"
            case .group(let children): "group {\(children.map(list).joined(separator: " | "))}"
            case .child(let steps, let own): "async let {\(list(steps))} beside {\(list(own))}"
            case .suspend(let slot): "suspend k\(slot)"
            case .resume(let slot): "resume k\(slot)"
            case .send(let value): "send \(value)"
            case .receive: "receive"
            case .signal: "signal"
            case .take: "take"
            case .enter: "enter gate"
            case .close: "close gate"
            case .thread(let steps): "thread {\(list(steps))}"
            }
        }

        /// Whether tasks share nothing in it but what the explorer knows of.
        fileprivate var isDeclared: Bool {
            switch self {
            case .load, .store, .add, .locked, .visit, .main, .yield: true
            case .group(let children): children.allSatisfy { $0.allSatisfy(\.isDeclared) }
            case .child(let steps, let own): (steps + own).allSatisfy(\.isDeclared)
            default: false
            }
        }

        fileprivate var simpler: [Step] {
            func shorter(_ steps: [Step]) -> [[Step]] {
                steps.indices.map { index in
                    var rest = steps
                    rest.remove(at: index)
                    return rest
                }
                    + steps.indices.flatMap { index in
                        steps[index].simpler.map { simpler in
                            var other = steps
                            other[index] = simpler
                            return other
                        }
                    }
            }
            switch self {
            case .handled(let steps): return shorter(steps).map { .handled($0) }
            case .thread(let steps): return shorter(steps).map { .thread($0) }
            case .child(let steps, let own):
                return shorter(steps).map { .child($0, own) }
                    + shorter(own).map { .child(steps, $0) }
            case .group(let children):
                return children.indices.flatMap { index in
                    ([[]] + shorter(children[index])).map { simpler in
                        var other = children
                        other[index] = simpler
                        return .group(other.filter { !$0.isEmpty })
                    }
                }
            case .add(let word): return [.store(word), .load(word)]
            default: return []
            }
        }
    }

    package var tasks: [[Step]]
    package var isDeclared = false
    package var isDiscrete = false

    package init(tasks: [[Step]]) { self.tasks = tasks }

    package var description: String {
        tasks.map { "[" + $0.map(\.description).joined(separator: "; ") + "]" }.joined(
            separator: " ")
            + (isDeclared ? " declared" : "") + (isDiscrete ? " discrete" : "")
    }

    package func options(_ strategy: ExplorationOptions.Strategy) -> ExplorationOptions {
        var options = ExplorationOptions(strategy: strategy)
        if isDeclared, strategy == .optimal { options.reduction = .declared }
        if isDiscrete { options.time = .discrete }
        return options
    }

    package func exploration(_ options: ExplorationOptions, _ log: FuzzLog) -> Exploration {
        Exploration("fuzz", options: options) { _ in
            let state = State(log)
            log.begin { state.final }
            for (index, steps) in tasks.enumerated() {
                state.tasks.append(Task { await state.run(steps, "t\(index)", index * 100 + 100) })
            }
            for task in state.tasks { await task.value }
        }
    }

    package var isExact: Bool { !isDeclared }

    package var smaller: [TaskProgram] {
        var result: [TaskProgram] = []
        func add(_ change: (inout TaskProgram) -> Void) {
            var program = self
            change(&program)
            result.append(program)
        }
        for task in tasks.indices {
            if tasks.count > 1 { add { $0.tasks.remove(at: task) } }
            for step in tasks[task].indices {
                add { $0.tasks[task].remove(at: step) }
                for simpler in tasks[task][step].simpler { add { $0.tasks[task][step] = simpler } }
            }
        }
        if isDeclared { add { $0.isDeclared = false } }
        if isDiscrete { add { $0.isDiscrete = false } }
        return result
    }
}

extension TaskProgram {
    private actor Visited {
        private var visits = 0
        func visit() -> Int {
            visits += 1
            return visits
        }
    }

    private final class Word: Sendable {
        let value = Atomic(0)
        init(_ name: String) { value.label(name) }
    }

    /// What the tasks of one execution share.
    private final class State: @unchecked Sendable {
        // Unchecked: all jobs of an execution run on one thread of the system, and switch at steps
        // alone.
        private let words = [Word("w0"), Word("w1")]
        private let actors = [Visited(), Visited()]
        private let lock = Mutex(())
        private let log: FuzzLog
        private var continuations: [CheckedContinuation<Void, Never>?] = [nil, nil]
        private var resumptions = [0, 0]
        private let stream: AsyncStream<Int>
        private let sender: AsyncStream<Int>.Continuation
        private let event = EventCounter(isSemaphore: true)
        private let gate = Gate(name: "gate")
        var tasks: [Task<Void, Never>] = []

        init(_ log: FuzzLog) {
            self.log = log
            lock.label("m")
            (stream, sender) = AsyncStream.makeStream(of: Int.self)
        }

        var final: String {
            words.map { "\($0.value.load(ordering: .relaxed))" }.joined(separator: " ")
        }

        @concurrent func run(_ steps: [Step], _ task: String, _ own: Int) async {
            for (index, step) in steps.enumerated() {
                if !atOnce(step, task, own + index) { await run(step, task, own + index) }
            }
        }

        /// Steps that do not wait. False for others.
        private func atOnce(_ step: Step, _ task: String, _ own: Int) -> Bool {
            switch step {
            case .load(let word):
                log.see(task, "\(words[word].value.load(ordering: .sequentiallyConsistent))")
            case .store(let word): words[word].value.store(own, ordering: .sequentiallyConsistent)
            case .add(let word):
                log.see(
                    task, "\(words[word].value.add(1, ordering: .sequentiallyConsistent).oldValue)")
            case .locked(let word):
                lock.lock()
                words[word].value.store(own, ordering: .relaxed)
                lock.unlock()
            case .cancel(let index): if index < tasks.count { tasks[index].cancel() }
            case .resume(let slot):
                if let continuation = continuations[slot] {
                    continuations[slot] = nil
                    continuation.resume()
                } else {
                    resumptions[slot] += 1
                }
            case .send(let value): sender.yield(value)
            case .signal: try? event.signal()
            case .enter:
                log.see(
                    task, "\(gate.withEntry { _ in words[0].value.load(ordering: .relaxed) } ?? -1)"
                )
            default: return false
            }
            return true
        }

        private func run(_ step: Step, _ task: String, _ own: Int) async {
            func see(_ result: Any) { log.see(task, "\(result)") }
            switch step {
            case .visit(let actor): see(await actors[actor].visit())
            case .main: await MainActor.run { self.log.see(task, "main") }
            case .yield: await Task.yield()
            case .sleep(let milliseconds):
                do {
                    try await Task.sleep(for: .milliseconds(milliseconds))
                    see("slept")
                } catch { see("interrupted") }
            case .isCancelled: see(Task.isCancelled)
            case .handled(let steps):
                await withTaskCancellationHandler {
                    await run(steps, task, own * 10)
                } onCancel: {
                    let seen = self.words.map { $0.value.load(ordering: .sequentiallyConsistent) }
                    self.log.see(task, "handler\(seen)")
                }
            case .group(let children):
                await withTaskGroup(of: Int.self) { group in
                    for (index, steps) in children.enumerated() {
                        group.addTask {
                            await self.run(steps, "\(task).\(index)", own * 10 + index)
                            return index
                        }
                    }
                    for await index in group { see("end of \(index)") }
                }
            case .child(let steps, let beside):
                async let child: Void = run(steps, "\(task).c", own * 10)
                await run(beside, "\(task)", own * 10 + 5)
                await child
            case .suspend(let slot):
                if resumptions[slot] > 0 {
                    resumptions[slot] -= 1
                } else if continuations[slot] == nil {
                    await withCheckedContinuation { continuations[slot] = $0 }
                }
                see("resumed")
            case .take:
                do {
                    see("took \(try await event.take())")
                } catch { see("\(error)") }
            case .close:
                do {
                    try await gate.close()
                    see("closed")
                } catch { see("\(error)") }
            case .receive:
                for await value in stream {
                    see(value)
                    break
                }
            case .thread(let steps):
                _ = try? WorldThread.spawn(name: "thread") { [self] in
                    for (index, step) in steps.enumerated() {
                        _ = atOnce(step, "\(task).\(own)", own * 10 + index)
                    }
                }
            default: break
            }
        }
    }
}

// MARK: Making them

extension TaskProgram {
    package static func random(_ random: inout FuzzGenerator, size: Int) -> TaskProgram {
        let theme = random.below(6)
        func simple(_ random: inout FuzzGenerator) -> Step {
            random.pick([.load(random.below(2)), .store(random.below(2)), .add(0), .store(0)])
        }
        func few(_ random: inout FuzzGenerator, _ depth: Int) -> [Step] {
            (0..<1 + random.below(2)).map { _ in step(&random, depth) }
        }
        func step(_ random: inout FuzzGenerator, _ depth: Int) -> Step {
            let isDeep = depth >= 2
            switch theme {
            case 0:
                return random.pick(
                    [.visit(random.below(2)), .visit(0), .yield, .add(0), .locked(0), .main]
                        + (isDeep
                            ? []
                            : [
                                .group([few(&random, 2), few(&random, 2)]),
                                .child(few(&random, 2), few(&random, 2)),
                            ]))
            case 1:
                return random.pick(
                    [
                        .cancel(random.below(3)), .cancel(0), .isCancelled, .yield, .load(0),
                        .store(0),
                    ]
                        + (isDeep
                            ? []
                            : [
                                .handled((0..<1 + random.below(2)).map { _ in simple(&random) }),
                                .handled([.store(0)]),
                            ])
                )
            case 2:
                return random.pick([
                    .suspend(random.below(2)), .suspend(0), .resume(0), .resume(random.below(2)),
                    .isCancelled, .add(0),
                    .thread([.resume(0)]), .thread([simple(&random)]),
                    .locked(0), .thread([.locked(0)]), .thread([.load(0), .locked(1)]),
                ])
            case 3:
                return random.pick([
                    .sleep(milliseconds: 1000 + 50 * random.below(4)), .sleep(milliseconds: 1),
                    .add(0), .store(1),
                    .load(0),
                    .cancel(0), .visit(0), .isCancelled,
                ])
            case 4:
                return random.pick([
                    .signal, .take, .take, .enter, .close, .cancel(random.below(2)), .isCancelled,
                    .thread([.signal]),
                    .store(0),
                ])
            default:
                return random.pick([
                    .send(random.below(3)), .receive, .yield, .thread([.send(9)]), .load(0),
                    .add(0),
                    .thread([.cancel(0)]), .isCancelled,
                ])
            }
        }
        let count = 2 + random.below(2)
        var program = TaskProgram(
            tasks: (0..<count).map { _ in
                (0..<max(1, 1 + random.below(max(1, size / count)))).map { _ in step(&random, 0) }
            })
        if theme == 5 {
            // A stream has one reader.
            for task in 1..<program.tasks.count {
                program.tasks[task] = program.tasks[task].map {
                    if case .receive = $0 { .send(5) } else { $0 }
                }
            }
        }
        program.isDiscrete = theme == 3 && random.below(2) == 0
        program.isDeclared =
            theme == 0 && random.below(2) == 0
            && program.tasks.allSatisfy { $0.allSatisfy(\.isDeclared) }
        return program
    }
}
