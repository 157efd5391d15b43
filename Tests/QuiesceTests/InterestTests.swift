// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

/// An event descriptor, and plain memory that the calls of an interest in it use.
private final class Watched: Sendable {
    let event: EventDescriptor
    let value = Unsynchronized(0)

    init() throws {
        event = try EventDescriptor()
        value.label("value")
    }

    func whenReadable(repeats: Bool) throws -> Interest {
        try event.whenReady(for: .readable, repeats: repeats) { [self] in
            value.withValue { $0 += 1 }
        }
    }
}

/// The calls of an interest, explored: of the poller's the decisions are the same.
@Suite struct InterestTests {
    private static func cancelling(repeats: Bool) -> Program {
        { world in
            guard let watched = try? Watched(),
                let interest = try? watched.whenReadable(repeats: repeats)
            else {
                return expect(false, "refused")
            }
            world.thread("writer") { _ = watched.event.write(1) }
            world.thread("canceller") {
                interest.cancel()
                // A race with any call that still runs.
                watched.value.store(9)
            }
            world.afterwards {
                expect(watched.value.load() == 9, "it was called after it was cancelled")
            }
        }
    }

    @Test(arguments: [false, true])
    func `after cancel returned no call runs or will run`(_ repeats: Bool) throws {
        try verify("cancel", Self.cancelling(repeats: repeats))
    }

    private static let writing: Program = { world in
        guard let watched = try? Watched(), (try? watched.whenReadable(repeats: true)) != nil else {
            return expect(false, "refused")
        }
        for name in ["one", "other"] { world.thread(name) { _ = watched.event.write(1) } }
        world.afterwards {
            expect(1...2 ~= watched.value.load(), "it was not called for what was written")
        }
    }

    @Test func `calls run one at a time`() throws { try verify("two writers", Self.writing) }

    private static let once: Program = { world in
        guard let watched = try? Watched(), (try? watched.whenReadable(repeats: false)) != nil
        else {
            return expect(false, "refused")
        }
        for name in ["one", "other"] { world.thread(name) { _ = watched.event.write(1) } }
        world.afterwards { expect(watched.value.load() == 1, "it was not called once") }
    }

    @Test func `an interest that does not repeat is called once`() throws {
        try verify("once", Self.once)
    }

    static let mutants: [Mutant] = [
        Mutant(
            cancelling(repeats: true), "Interest.swift", "state.word.bitwiseOr(State.over", .skipped
        ),
        Mutant(
            cancelling(repeats: true), "Interest.swift", "state.word.load(ordering: .acquiring)",
            .relaxed),
        Mutant(
            cancelling(repeats: true), "Interest.swift", "state.word.load(ordering: .acquiring)",
            .sees(0)),
        Mutant(cancelling(repeats: false), "Interest.swift", "self.state.wake()", .skipped),
        Mutant(cancelling(repeats: false), "Interest.swift", "let (isAnnounced, now)", .skipped),
        Mutant(cancelling(repeats: true), "Interest.swift", "let (isDone, now)", .relaxed),
        Mutant(cancelling(repeats: true), "Interest.swift", "let (isDone, now)", .skipped),
        Mutant(writing, "Interest.swift", "let (isMine, now)", .unconditional),
        Mutant(writing, "Interest.swift", "let (isMine, now)", .relaxed),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}
