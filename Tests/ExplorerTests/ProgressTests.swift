// SPDX-License-Identifier: Apache-2.0

import Foundation
import Substrate
import Synchronization
import Testing

@testable import Explorer

/// What a person who waits is told, and what is kept for the next time.
@Suite struct ProgressTests {
    /// A person at a clock that the test sets.
    private final class Reader: Sendable {
        let seconds = Synchronization.Mutex(0.0)
        let texts = Synchronization.Mutex<[String]>([])

        func line(isTerminal: Bool) -> ProgressLine {
            ProgressLine(
                isTerminal: isTerminal, seconds: { self.seconds.withLock { $0 } },
                write: { text in self.texts.withLock { $0.append(text) } })
        }

        func read(_ line: ProgressLine, at times: [Double]) -> [String] {
            for time in times {
                seconds.withLock { $0 = time }
                line.show { "at \(time)" }
            }
            line.end()
            return texts.withLock { $0 }
        }
    }

    @Test func `a short run prints nothing`() {
        for isTerminal in [true, false] {
            let reader = Reader()
            let line = reader.line(isTerminal: isTerminal)
            #expect(reader.read(line, at: [0, 0.5, 1, 1.9]).isEmpty)
        }
    }

    @Test func `a pipe gets a plain line now and then`() {
        let reader = Reader()
        let texts = reader.read(reader.line(isTerminal: false), at: [1, 4, 5, 6, 14, 15, 16, 25])
        #expect(texts == ["at 5.0\n", "at 15.0\n", "at 25.0\n"])
    }

    @Test func `a terminal gets one line that is written anew and goes away`() {
        let reader = Reader()
        let texts = reader.read(reader.line(isTerminal: true), at: [1, 2, 2.1, 3])
        #expect(texts == ["\r\u{1B}[Kat 2.0", "\r\u{1B}[Kat 3.0", "\r\u{1B}[K"])
    }

    @Test func `the line has executions, rate, time and what is left`() {
        let progress = ExplorationProgress(
            name: "withdrawTwice", executions: 1234, seconds: 10, rate: 123.4, secondsLeft: 200)
        #expect(
            ProgressLine.text(progress)
                == "withdrawTwice: 1234 executions in 10 s, 123 a second, about 3 min left")
        let unknown = ExplorationProgress(
            name: String(repeating: "n", count: 100), executions: 7, seconds: 100, rate: 0.1,
            secondsLeft: nil)
        let text = ProgressLine.text(unknown, columns: 79)
        #expect(text.count == 79 && text.hasSuffix("…: 7 executions in 2 min, 0 a second"))
    }

    @Test func `what is explored grows to all of it`() throws {
        let options = ExplorationOptions(strategy: .depthFirst)
        var last = 0.0
        let exploration = Exploration("counter", options: options) { world in
            let counter = Counter()
            for _ in 0..<3 { world.thread("adds") { counter.add() } }
        }
        let scheduler = Scheduler(options)
        let search = DepthFirst(scheduler)
        scheduler.use(search)
        exploration.exploring(scheduler) { run in
            while search.endExecution(run()) {
                #expect(search.explored >= 0 && search.explored < 1)
                last = search.explored
            }
        }
        #expect(last >= 0.5)
        #expect(search.explored == 1)
    }

    private final class Counter: Sendable {
        private let count = Substrate.Atomic(0)
        func add() { _ = count.wrappingAdd(1, ordering: .relaxed) }
    }

    // MARK: Kept failures

    private final class Switch: Sendable {
        /// 0: fails; 1: passes; 2: has fewer steps and passes.
        let mode = Synchronization.Atomic(0)
    }

    private func lostUpdate(_ mode: Switch) -> Exploration {
        Exploration("kept") { world in
            let mode = mode.mode.load(ordering: .relaxed)
            let cells = Cells()
            for name in ["a", "b"] {
                world.thread(name) {
                    let old = cells.count.load(ordering: .relaxed)
                    if mode < 2 { cells.count.store(old + 1, ordering: .relaxed) }
                }
            }
            world.afterwards {
                expect(mode > 0 || cells.count.load(ordering: .relaxed) == 2)
            }
        }
    }

    private final class Cells: Sendable {
        let count = Substrate.Atomic(0)
    }

    private func isNothing(_ outcome: KeptFailure.Outcome?) -> Bool {
        if case nil = outcome { true } else { false }
    }

    private func folder() -> String {
        "\(FileManager.default.temporaryDirectory.path)/quiesce-kept-\(UUID().uuidString)"
    }

    @Test func `a kept failure runs first, and is dropped when it passes`() throws {
        let (mode, folder) = (Switch(), folder())
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let kept = KeptFailure(of: "Suite/test(1, \"ä/b\")", in: folder)
        #expect(try isNothing(kept.replay(lostUpdate(mode))))
        kept.keep(try #require(try lostUpdate(mode).run().counterexample))
        let ignore = FileManager.default.contents(atPath: "\(folder)/.gitignore")
        #expect(ignore.map { String(decoding: $0, as: UTF8.self) } == "*\n")
        // Another test's, with a name that looks the same in a file name.
        let other = KeptFailure(of: "Suite/test(1, \"ö/b\")", in: folder)
        #expect(try isNothing(other.replay(lostUpdate(mode))))
        for _ in 0..<2 {
            let again = try #require(try kept.replay(lostUpdate(mode)))
            #expect(again.sentence == "the kept failure fails again")
            guard case .failsAgain(let failure) = again else { continue }
            #expect(failure.trace.isMinimal)
        }
        mode.mode.store(1, ordering: .relaxed)
        let passes = try #require(try kept.replay(lostUpdate(mode)))
        #expect(passes.sentence == "the kept failure passes now, and is dropped")
        #expect(try isNothing(kept.replay(lostUpdate(mode))))
    }

    @Test func `a kept failure that no longer fits is dropped with a sentence`() throws {
        let (mode, folder) = (Switch(), folder())
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let kept = KeptFailure(of: "test", in: folder)
        kept.keep(try #require(try lostUpdate(mode).run().counterexample))
        mode.mode.store(2, ordering: .relaxed)
        let diverges = try #require(try kept.replay(lostUpdate(mode)))
        #expect(diverges.sentence.hasPrefix("the kept failure no longer fits the program"))
        #expect(try isNothing(kept.replay(lostUpdate(mode))))
    }

    @Test(arguments: ["", "/dev/null/no", "/proc/no"])
    func `a folder that cannot be written keeps nothing`(folder: String) throws {
        let kept = KeptFailure(of: "test", in: folder)
        let exploration = lostUpdate(Switch())
        kept.keep(try #require(try exploration.run().counterexample))
        kept.drop()
        #expect(try isNothing(kept.replay(exploration)))
    }
}
