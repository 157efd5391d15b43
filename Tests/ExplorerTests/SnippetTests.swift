// SPDX-License-Identifier: Apache-2.0

import Explorer
import FoundationEssentials
import Substrate
import Testing

// The code of the articles that uses Substrate, between `snippet` and `end`: what is shown to a
// reader compiles, and does what is said. `Synchronization` is not imported: a file that changes to
// Substrate does without, as Substrate brings what the signatures of its atomics need.

// snippet: account
final class Account: Sendable {
    private let balance = Atomic(100)

    init() { balance.label("balance") }

    /// Returns what is left, or nil when there is too little.
    func withdraw(_ amount: Int) -> Int? {
        guard balance.load(ordering: .acquiring) >= amount else { return nil }
        return balance.wrappingSubtract(amount, ordering: .acquiringAndReleasing).newValue
    }
}
// end

// snippet: safe-account
final class SafeAccount: Sendable {
    private let balance = Mutex(100)

    init() { balance.label("balance") }

    var left: Int { balance.withLock { $0 } }

    func withdraw(_ amount: Int) {
        balance.withLock { if $0 >= amount { $0 -= amount } }
    }
}
// end

// snippet: publication
final class Announcement: Sendable {
    private let text = Unsynchronized("")
    private let isReady = Atomic(false)

    func publish(_ news: String) {
        text.store(news)
        isReady.store(true, ordering: .releasing)
    }

    func read() -> String? {
        isReady.load(ordering: .acquiring) ? text.load() : nil
    }
}
// end

// snippet: door
final class Door: Sendable {
    private let isInside = Atomic(false)
    private let isClosed = Atomic(false)

    /// The fast path of one visitor: two accesses, no fence.
    func enter() -> Bool {
        isInside.storeAsymmetric(true)
        if !isClosed.load(ordering: .acquiring) { return true }
        leave()
        return false
    }

    func leave() { isInside.storeAsymmetric(false) }

    /// The slow path: once it returns, nobody is inside.
    func close() {
        isClosed.store(true, ordering: .sequentiallyConsistent)
        membarrier()
        spin(while: { isInside.load(ordering: .acquiring) })
    }
}
// end

// snippet: session
final class Session: Sendable {
    let isOpen = Atomic(true)
    let requests = Atomic(0)

    init() {
        isOpen.label("isOpen")
        requests.label("requests")
    }
}
// end

// snippet: latch
/// Threads wait for it until `countDown` was called a number of times.
final class Latch: Sendable {
    private let left: Atomic<Int>
    private let isOpen = WaitPoint()
    private let waitClass: WaitClass

    init(_ count: Int, file: StaticString = #filePath, line: UInt = #line) {
        left = Atomic(count)
        waitClass = WaitClass(.event, file: file, line: line)
        left.label("left")
        isOpen.label("isOpen")
    }

    /// What was done before the call happens before the return of every `wait`.
    func countDown() {
        let rest = left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        guard rest == 0 else { return }
        isOpen.word.store(1, ordering: .releasing)
        isOpen.wake()
    }

    func wait() {
        waitClass.waiting("a latch") {
            while isOpen.word.load(ordering: .acquiring) == 0 { isOpen.wait(while: 0) }
        }
    }
}
// end

/// A latch that counts in two steps.
final class HastyLatch: Sendable {
    private let left: Atomic<Int>
    private let isOpen = WaitPoint()

    init(_ count: Int) {
        left = Atomic(count)
        left.label("left")
        isOpen.label("isOpen")
    }

    // snippet: hasty
    func countDown() {
        let rest = left.load(ordering: .acquiring) - 1
        left.store(rest, ordering: .releasing)
        guard rest == 0 else { return }
        isOpen.word.store(1, ordering: .releasing)
        isOpen.wake()
    }
    // end

    func wait() { while isOpen.word.load(ordering: .acquiring) == 0 { isOpen.wait(while: 0) } }
}

// snippet: results
final class Results: Sendable {
    let first = Unsynchronized(0)
    let second = Unsynchronized(0)
}

let latchProgram: @Sendable (ExploredWorld) -> Void = { world in
    let (latch, results) = (Latch(2), Results())
    world.thread("first") {
        results.first.store(1)
        latch.countDown()
    }
    world.thread("second") {
        results.second.store(2)
        latch.countDown()
    }
    world.thread("waiter") {
        latch.wait()
        expect(results.first.load() + results.second.load() == 3)
    }
}
// end

// snippet: mailbox
/// Holds one letter at a time.
final class Mailbox: Sendable {
    private let letter = Mutex<String?>(nil)
    private let hasChanged = Condition()

    init() {
        letter.label("letter")
        hasChanged.label("hasChanged")
    }

    func post(_ text: String) {
        letter.withLock(waitingFor: hasChanged, while: { $0 != nil }) { $0 = text }
        hasChanged.broadcast()
    }

    func collect() -> String {
        let text = letter.withLock(waitingFor: hasChanged, while: { $0 == nil }) { $0.take()! }
        hasChanged.broadcast()
        return text
    }
}
// end

@Suite struct SnippetTests {
    @Test func `the example of the README fails as it shows`() throws {
        let failure = try #require(throws: ExplorationFailure.self) { try requests() }
        let readme = try text("README.md")
        let shown = failure.description.split(separator: "\n").filter { $0.contains("│") }
        #expect(shown.count > 5)
        for line in shown {
            #expect(readme.contains(line), "the README does not have\n\(line)")
            #expect(line.count <= 96)
        }
    }

    private func requests() throws {
        // snippet: requests
        try explore("close waits for requests") { world in
            let session = Session()
            world.thread("request") {
                if session.isOpen.load(ordering: .acquiring) {
                    session.requests.wrappingAdd(1, ordering: .relaxed)
                    expect(session.isOpen.load(ordering: .acquiring), "served after close")
                    session.requests.wrappingSubtract(1, ordering: .releasing)
                }
            }
            world.thread("closer") { session.isOpen.store(false, ordering: .releasing) }
        }
        // end
    }

    @Test func `a latch opens for what was done before`() throws {
        // snippet: explore-latch
        var options = ExplorationOptions()
        options.granularity = .fine
        let report = try Exploration("a latch", options: options, latchProgram).run()
        // end
        #expect(report.result == "verified" && report.coverage == .all, "\(report)")
    }

    @Test func `a latch without one of its steps or orders is found broken`() throws {
        var options = ExplorationOptions()
        options.granularity = .fine
        // snippet: break-latch
        let mistakes = [
            Mutation("SnippetTests.swift", "left.wrappingSubtract(1", .relaxed),
            Mutation("SnippetTests.swift", "isOpen.word.store(1", .relaxed),
            Mutation("SnippetTests.swift", "while isOpen.word.load", .relaxed),
            Mutation("SnippetTests.swift", "isOpen.wake()", .skipped),
        ]
        for mistake in mistakes {
            options.mutation = mistake
            let report = try Exploration("a broken latch", options: options, latchProgram).run()
            #expect(report.failed > 0 && report.mutations > 0, "\(mistake)")
        }
        // end
    }

    @Test func `a latch that counts in two steps wakes nobody`() throws {
        let exploration = Exploration("a hasty latch") { world in
            let latch = HastyLatch(2)
            world.thread("first") { latch.countDown() }
            world.thread("second") { latch.countDown() }
            world.thread("waiter") { latch.wait() }
        }
        let report = try exploration.run()
        #expect(report.verdicts == [.lostWakeUp: 1])
    }

    @Test func `a mailbox hands over every letter`() throws {
        let report = try explore("a mailbox") { world in
            let mailbox = Mailbox()
            for text in ["one", "other"] { world.thread(text) { mailbox.post(text) } }
            world.thread("reader") {
                let letters = [mailbox.collect(), mailbox.collect()]
                expect(letters.sorted() == ["one", "other"])
            }
        }
        #expect(report.coverage == .all)
    }

    private func overdraw() throws {
        // snippet: overdraw
        try explore("withdrawals do not overdraw") { world in
            let account = Account()
            world.thread("first") {
                if let left = account.withdraw(60) { expect(left >= 0, "overdrawn") }
            }
            world.thread("second") {
                if let left = account.withdraw(60) { expect(left >= 0, "overdrawn") }
            }
        }
        // end
    }

    @Test func `the first example fails, and its token replays`() throws {
        let failure = try #require(throws: ExplorationFailure.self) { try overdraw() }
        let verdict = try #require(failure.report.counterexample).verdict
        #expect(verdict.kind == .expectation)
        #expect(verdict.sentence.contains("overdrawn"))
        #expect(failure.description.contains("QUIESCE_REPLAY="))
        let counterexample = try replay("\(try #require(failure.report.counterexample).token)")
        #expect(counterexample?.verdict.kind == .expectation)
    }

    // snippet: safe-overdraw
    @Test func `withdrawals do not overdraw`() throws {
        let report = try explore("withdrawals do not overdraw, with a lock") { world in
            let account = SafeAccount()
            world.thread("first") { account.withdraw(60) }
            world.thread("second") { account.withdraw(60) }
            world.afterwards { expect(account.left == 40, "one of the two withdraws") }
        }
        #expect(report.coverage == .all)
    }
    // end

    private func twoDeposits(_ world: ExploredWorld) {
        let account = SafeAccount()
        world.thread("first") { account.withdraw(-60) }
        world.thread("second") { account.withdraw(-60) }
    }

    @Test func `an exploration stops and goes on`() throws {
        // snippet: resume
        var options = ExplorationOptions()
        options.executionLimit = 1
        let first = try Exploration("two deposits", options: options, twoDeposits).run()
        if let checkpoint = first.checkpoint {
            options.executionLimit = .max
            let rest = try Exploration("two deposits", options: options, twoDeposits)
                .run(from: checkpoint)
            print("\(rest.result): \(rest.executions) executions")
        }
        // end
        #expect(first.result == "bounded" && first.checkpoint != nil)
    }

    private func replay(_ text: String) throws -> Counterexample? {
        // snippet: replay
        let exploration = Exploration("withdrawals do not overdraw") { world in
            let account = Account()
            world.thread("first") {
                if let left = account.withdraw(60) { expect(left >= 0, "overdrawn") }
            }
            world.thread("second") {
                if let left = account.withdraw(60) { expect(left >= 0, "overdrawn") }
            }
        }
        let token = try ReplayToken(text)
        let counterexample = try exploration.replay(token)
        // end
        return counterexample
    }

    @Test func `every failing execution is counted`() throws {
        // snippet: count
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.soughtVerdict = .race
        let exploration = Exploration("two writers", options: options) { world in
            let cell = Cell()
            world.thread("first") { cell.value.store(1) }
            world.thread("second") { cell.value.store(2) }
        }
        let report = try exploration.run()
        for (kind, count) in report.verdicts {
            print("\(kind.rawValue): \(count) of \(report.executions)")
        }
        // end
        #expect(report.verdicts == [.race: report.executions])
        #expect(report.coverage == .all)
    }

    @Test func `a spinning thread waits for a write`() throws {
        // snippet: spin
        try explore("a flag is waited for") { world in
            let isReady = Flag()
            world.thread("worker") { isReady.raise() }
            world.thread("waiter") { spin(while: { !isReady.isRaised }) }
        }
        // end
    }

    @Test func `both ends of a timed wait are explored`() throws {
        let ends = Ends()
        // snippet: timer
        try explore("a wait with a deadline") { world in
            let arrival = Arrival()
            world.thread("sender") { arrival.announce() }
            world.thread("receiver") {
                let deadline = WorldClock.now() + .seconds(1)
                let hasArrived = arrival.wait(until: deadline)
                ends.note(hasArrived)
            }
        }
        // end
        #expect(ends.all == [true, false])
    }

    @Test func `a declared order holds`() throws {
        // snippet: order
        try explore("the name goes before the object") { world in
            world.order("unlink", before: "release")
            let lock = SharedLock()
            world.thread("remover") {
                lock.whileHeld {
                    world.mark("unlink")
                    world.mark("release")
                }
            }
            world.thread("reader") { lock.whileHeld {} }
        }
        // end
    }

    @Test func `a releasing store publishes`() throws {
        // snippet: publish
        try explore("an announcement is published") { world in
            let announcement = Announcement()
            world.thread("writer") { announcement.publish("open") }
            world.thread("reader") {
                if let text = announcement.read() { expect(text == "open") }
            }
        }
        // end
    }

    @Test func `a door that is closed is empty`() throws {
        // snippet: close
        let report = try explore("a closed door has nobody behind it") { world in
            let door = Door()
            let room = Room()
            world.thread("visitor") {
                if door.enter() {
                    room.use()
                    door.leave()
                }
            }
            world.thread("closer") {
                door.close()
                room.use()
            }
        }
        // end
        #expect(report.coverage == .all)
    }

    @Test func `a door without its barrier is a race`() throws {
        let failure = try #require(throws: ExplorationFailure.self) {
            try explore("no barrier") { world in
                let (isInside, isClosed, room) = (Flag(), Flag(), Room())
                world.thread("visitor") {
                    isInside.raiseAsymmetrically()
                    if !isClosed.isRaised { room.use() }
                }
                world.thread("closer") {
                    isClosed.raise()
                    if !isInside.isRaised { room.use() }
                }
            }
        }
        #expect(failure.report.verdicts == [.race: 1])
    }

    // MARK: The articles

    @Test func `every block of code in the articles is in a test`() throws {
        // Where code that is shown is compiled.
        let places = [
            "Tests/ExplorerTests/SnippetTests.swift", "Tests/QuiesceTests/SnippetTests.swift",
            "Tests/QuiesceTests/QuiesceSnippets.swift",
            "Tests/QuiesceTests/SubstrateSnippets.swift", "Tests/Checks/Checks.swift",
            "Tests/DeviceModelTests/DeviceModelSnippets.swift",
            "Sources/QuiesceTesting/Documentation.docc/Resources/tutorial-explored.swift",
            "Sources/QuiesceTesting/Documentation.docc/Resources/tutorial-package.swift",
        ]
        let code = try places.flatMap { trimmedLines(try text($0)) }.joined(separator: "\n")
        var shown = ["README.md"]
        for module in try FileManager.default.contentsOfDirectory(
            atPath: package.appendingPathComponent("Sources").path
        ).sorted() {
            let catalogue = "Sources/\(module)/Documentation.docc"
            let names = try? FileManager.default.contentsOfDirectory(
                atPath: package.appendingPathComponent(catalogue).path)
            shown += (names ?? []).filter { $0.hasSuffix(".md") }.map { "\(catalogue)/\($0)" }
        }
        var blocks = 0
        for name in shown {
            // `Scripts/check-snippets` runs the first one, with the imports that it shows.
            for block in swiftBlocks(of: try text(name))
            where name != "README.md" || !block.hasPrefix("import Explorer") {
                blocks += 1
                #expect(
                    code.contains("\n" + block + "\n"),
                    "\(name) shows code that no test has:\n\(block)")
            }
        }
        #expect(blocks > 25)
    }

    /// What a reader imports is what the code that is shown is compiled with.
    @Test func `the code that is shown is compiled with the imports of a reader`() throws {
        let imports = { (name: String) in
            try text(name).split(separator: "\n").filter {
                $0.hasPrefix("import ") || $0.hasPrefix("@testable import ")
            }.map(String.init)
        }
        #expect(
            try imports("Tests/QuiesceTests/QuiesceSnippets.swift") == [
                "import Dispatch", "import Foundation", "import Quiesce", "import Synchronization",
            ])
        #expect(
            try imports("Tests/DeviceModelTests/DeviceModelSnippets.swift") == [
                "import DeviceModel", "import Quiesce",
            ])
        for name in ["ExplorerTests/SnippetTests", "QuiesceTests/SubstrateSnippets"] {
            let found = try imports("Tests/\(name).swift")
            #expect(found.contains("import Substrate") && !found.contains("import Synchronization"))
        }
    }

    private var package: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
    }

    private func text(_ path: String) throws -> String {
        try String(contentsOf: package.appendingPathComponent(path), encoding: .utf8)
    }

    private func trimmedLines(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
    }

    private func swiftBlocks(of article: String) -> [String] {
        var blocks: [String] = []
        var lines: [String]?
        for line in trimmedLines(article) {
            if line == "```swift" {
                lines = []
            } else if line == "```" {
                if let lines { blocks.append(lines.joined(separator: "\n")) }
                lines = nil
            } else {
                lines?.append(line)
            }
        }
        return blocks
    }
}

// MARK: What the snippets use

private final class Flag: Sendable {
    private let state = Atomic(false)

    var isRaised: Bool { state.load(ordering: .acquiring) }

    func raise() { state.store(true, ordering: .sequentiallyConsistent) }

    func raiseAsymmetrically() { state.storeAsymmetric(true) }
}

private final class Cell: Sendable {
    let value = Unsynchronized(0)

    init() { value.label("cell") }
}

private final class Room: Sendable {
    private let visits = Unsynchronized(0)

    init() { visits.label("visits") }

    func use() { visits.withValue { $0 += 1 } }
}

private final class SharedLock: Sendable {
    private let lock = Mutex(())

    func whileHeld(_ body: () -> Void) {
        lock.lock()
        body()
        lock.unlock()
    }
}

private final class Arrival: Sendable {
    private let point = WaitPoint()

    func announce() {
        point.word.store(1, ordering: .releasing)
        point.wake()
    }

    func wait(until deadline: WorldClock.Instant) -> Bool {
        while point.word.load(ordering: .acquiring) == 0 {
            if !point.wait(while: 0, until: deadline) { return false }
        }
        return true
    }
}

/// What executions came to. Lives beyond them, so it is no object of theirs: all run on the test's
/// own thread.
private final class Ends: @unchecked Sendable {
    private(set) var all: Set<Bool> = []

    func note(_ end: Bool) { all.insert(end) }
}
