// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Testing

@testable import Substrate

/// The algorithm of the reader-writer lock, step by step.
///
/// To every other exploration a lock is one object whose rules are the explorer's own, so these
/// tests also compare what the two let happen.
@Suite struct RWLockWordsTests {
    /// What a thread does with the lock.
    enum Deed: String, Sendable {
        case read, write, tryRead, tryWrite
        /// Reads, and tries to read again inside of that.
        case readAndTry
        /// Writes, and tries to read and to write inside of that.
        case writeAndTry
    }

    struct Use: Sendable, CustomTestStringConvertible {
        let prefersReaders: Bool
        let threads: [[Deed]]

        var testDescription: String {
            let deeds = threads.map { $0.map(\.rawValue).joined(separator: ", ") }
            return deeds.joined(separator: " | ") + (prefersReaders ? "; readers first" : "")
        }
    }

    private final class Number: Sendable {
        private let memory = Unsynchronized(0)

        init() { memory.label("number") }

        var value: Int { memory.load() }
        func increment() { memory.store(memory.load() + 1) }
    }

    /// A lock, by what can be done with it.
    private struct Lock: Sendable {
        let read: @Sendable (() -> String) -> String
        let write: @Sendable (() -> Void) -> Void
        let tryRead: @Sendable (() -> String) -> String?
        let tryWrite: @Sendable (() -> Void) -> Bool
        let isFree: @Sendable () -> Bool

        /// Does it to the number that the lock protects, and returns what came of it.
        func perform(_ deed: Deed, _ number: Number) -> String {
            let look = { "\(number.value)" }
            switch deed {
            case .read: return read(look)
            case .write: write(number.increment)
            case .tryRead: return tryRead(look) ?? "none"
            case .tryWrite: return "\(tryWrite(number.increment))"
            case .readAndTry: return read { look() + " and " + (tryRead(look) ?? "none") }
            case .writeAndTry:
                write {
                    number.increment()
                    expect(tryRead(look) == nil && !tryWrite {}, "it was let in beside itself")
                }
            }
            return "written"
        }
    }

    private final class Words: Sendable {
        let words: RWLockWords

        init(prefersReaders: Bool) {
            words = RWLockWords(LockClass(Site(#filePath, #line)), prefersReaders: prefersReaders)
            words.state.label("state")
            words.sleepingReaders.label("readers")
            words.sleepingWriters.label("writers")
        }

        /// The algorithm itself.
        var lock: Lock {
            Lock(
                read: { [self] body in
                    words.takeRead()
                    defer { words.giveReadBack() }
                    return body()
                },
                write: { [self] body in
                    words.takeWrite(by: World.currentThread)
                    body()
                    words.giveWriteBack()
                },
                tryRead: { [self] body in
                    guard words.tryTakeRead() else { return nil }
                    defer { words.giveReadBack() }
                    return body()
                },
                tryWrite: { [self] body in
                    guard words.tryTakeWrite(by: World.currentThread) else { return false }
                    body()
                    words.giveWriteBack()
                    return true
                },
                isFree: { [self] in words.state.load(ordering: .relaxed) == 0 })
        }
    }

    private final class Whole: Sendable {
        let whole: RWLock<Void>

        init(prefersReaders: Bool) {
            whole = RWLock((), preferring: prefersReaders ? .readers : .writers)
            whole.label("lock")
        }

        /// The lock, as other explorations see it.
        var lock: Lock {
            Lock(
                read: { [self] body in whole.withReadLock { _ in body() } },
                write: { [self] body in whole.withWriteLock { _ in body() } },
                tryRead: { [self] body in whole.withReadLockIfAvailable { _ in body() } },
                tryWrite: { [self] body in whole.withWriteLockIfAvailable { _ in body() } != nil },
                isFree: { [self] in whole.withWriteLockIfAvailable { _ in } != nil })
        }
    }

    /// What one thread has found: its own until it has ended.
    private final class Results: Sendable {
        private let texts = Unsynchronized<[String]>([])

        func add(_ text: String) { texts.withValue { $0.append(text) } }
        var all: [String] { texts.load() }
    }

    private static func program(
        _ use: Use, ofWords: Bool = true,
        then tell: @escaping @Sendable (String) -> Void = { _ in }
    ) -> Program {
        { world in
            let lock =
                ofWords
                ? Words(prefersReaders: use.prefersReaders).lock
                : Whole(prefersReaders: use.prefersReaders).lock
            let number = Number()
            let results = use.threads.map { _ in Results() }
            for index in use.threads.indices {
                world.thread("thread \(index)") {
                    for deed in use.threads[index] {
                        results[index].add(lock.perform(deed, number))
                    }
                }
            }
            world.afterwards {
                let writes = results.flatMap(\.all).count { $0 == "written" || $0 == "true" }
                expect(number.value == writes, "a write was lost")
                expect(lock.isFree(), "it did not become free")
                tell(results.map { $0.all.joined(separator: ", ") }.joined(separator: " | "))
            }
        }
    }

    private static let shapes: [[[Deed]]] = [
        [[.read], [.write]],
        [[.write], [.write]],
        [[.read, .write], [.write, .read]],
        [[.write], [.write], [.read]],
        [[.read], [.read], [.write]],
        [[.readAndTry], [.write]],
        [[.read], [.write], [.tryRead]],
        [[.writeAndTry], [.tryWrite], [.tryRead]],
        [[.writeAndTry], [.read, .tryWrite]],
        [[.tryWrite, .write], [.read]],
    ]

    static let uses = [false, true].flatMap { prefersReaders in
        shapes.map { Use(prefersReaders: prefersReaders, threads: $0) }
    }

    @Test(arguments: uses)
    func `it excludes, wakes, and does what the explorer's lock does`(_ use: Use) throws {
        func outcomes(ofWords: Bool) throws -> Set<String> {
            let texts = Mutex<Set<String>>([])
            let program = Self.program(use, ofWords: ofWords) { text in
                texts.withLock { _ = $0.insert(text) }
            }
            try verify(use.testDescription, program)
            return texts.withLock { $0 }
        }
        #expect(try outcomes(ofWords: true) == outcomes(ofWords: false))
    }

    // MARK: Announced writers

    /// A writer that announces itself and does not sleep: it takes the lock, or withdraws.
    private static let announced: Program = { world in
        let words = Words(prefersReaders: false)
        let number = Number()
        world.thread("announced") {
            words.words.announceWrite()
            if words.words.takeAnnouncedWrite(by: World.currentThread) {
                number.increment()
                words.words.giveWriteBack()
            } else {
                words.words.withdrawWrite()
            }
        }
        world.thread("writer") { words.lock.write(number.increment) }
        world.thread("reader") { _ = words.lock.read { "\(number.value)" } }
        world.afterwards { expect(words.lock.isFree(), "it did not become free") }
    }

    @Test func `a writer that announces itself lets everybody in, also when it withdraws`() throws {
        try verify("announced", Self.announced)
    }

    // MARK: Mutants

    private static func using(_ threads: [[Deed]], readersFirst: Bool = false) -> Program {
        program(Use(prefersReaders: readersFirst, threads: threads))
    }

    private static let file = "RWLockWords.swift"

    static let mutants: [Mutant] = [
        // Readers.
        Mutant(using([[.read], [.write]]), file, "let (isIn, now)", .relaxed),
        Mutant(using([[.read], [.write]]), file, "let (isIn, now)", .unconditional),
        Mutant(using([[.read], [.write]]), file, "let (isMarked, now)", .skipped),
        Mutant(using([[.read], [.write]]), file, "let left = state.wrappingSubtract(1", .relaxed),
        Mutant(using([[.read], [.write]]), file, "let left = state.wrappingSubtract(1", .skipped),
        Mutant(using([[.read], [.write]]), file, "sleepingReaders.word.wrappingAdd", .skipped),
        Mutant(using([[.read], [.write]]), file, "sleepingReaders.wake()", .skipped),
        // Writers.
        Mutant(using([[.write], [.write]]), file, "let (isAlone, now)", .relaxed),
        Mutant(using([[.write], [.write]]), file, "let (isAlone, now)", .unconditional),
        Mutant(using([[.write], [.write]]), file, "let (isMine, now)", .relaxed),
        // Another writer comes between the look and the exchange.
        Mutant(using([[.write], [.write, .write]]), file, "let (isMine, now)", .unconditional),
        Mutant(using([[.write], [.write]]), file, "return state.compareExchange(", .skipped),
        Mutant(using([[.write], [.write]]), file, "let (isFree, now)", .relaxed),
        Mutant(using([[.write], [.write]]), file, "let (isFree, now)", .skipped),
        Mutant(using([[.write], [.write]]), file, "sleepingWriters.word.wrappingAdd", .skipped),
        Mutant(using([[.write], [.write]]), file, "sleepingWriters.wake(1)", .skipped),
        Mutant(using([[.read], [.write]]), file, "sleepingWriters.wake(1)", .skipped),
        Mutant(
            using([[.read], [.write]], readersFirst: true), file, "sleepingWriters.wake(1)",
            .skipped),
        // Announced writers.
        Mutant(announced, file, "state.wrappingAdd(RWLockState.oneWriter", .skipped),
        Mutant(announced, file, "let (isFree, now)", .skipped),
        Mutant(announced, file, "sleepingReaders.word.wrappingAdd", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}
