// SPDX-License-Identifier: Apache-2.0

import Quiesce
import QuiesceTesting
import Testing

/// What a user's tests meet on a platform on which Quiesce does not run.
/// `Scripts/check-other-platforms` builds this as for such a platform.
@Suite struct OtherPlatformsTests {
    static let sentence =
        "nothing can be explored on this platform: Quiesce explores on Linux with glibc, on x86-64 and aarch64"

    @Test(.everyInterleaving) func `an explored test is skipped`() async throws {
        Issue.record("the test has run")
    }

    @Suite(.everyInterleaving) struct ExploredTests {
        @Test(arguments: [1, 2]) func `those of an explored suite are skipped`(_ number: Int) {
            Issue.record("the test has run")
        }
    }

    @Test(.interleavings(limit: 3)) func `a sampled test is skipped`() {
        Issue.record("the test has run")
    }

    @Test func `an exploration is refused with a sentence`() throws {
        let failure = #expect(throws: Exploration.Failure.self) {
            try explore("threads") { _ in }
        }
        #expect(failure?.description == Self.sentence)
        let other = #expect(throws: Exploration.Failure.self) {
            try Exploration("threads") { (_: ExploredWorld) in }.run()
        }
        #expect(other?.description == Self.sentence)
    }

    @Test func `an exploration of tasks is refused with a sentence`() async throws {
        let failure = await #expect(throws: Exploration.Failure.self) {
            try await everyInterleaving { _ in await Task {}.value }
        }
        #expect(failure?.description == Self.sentence)
    }

    @Test func `a primitive traps with a sentence`() async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let queue = WorkQueue(name: "queue")
            _ = queue.enqueue {}
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text == "fatal error: Quiesce runs on 64-bit Linux, and not on this platform\n")
    }
}
