// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import XCTest

/// The function for other frameworks, in one.
final class OtherFrameworkTests: XCTestCase {
    func testWhatHolds() async throws {
        let report = try await everyInterleaving { _ in
            let counter = Counter()
            async let first: Void = counter.increment()
            await counter.increment()
            await first
            let value = await counter.get()
            expect(value == 2)
        }
        XCTAssertEqual(report.coverage, .all)
    }

    func testWhatDoesNot() async throws {
        do {
            try await everyInterleaving { _ in
                let counter = Counter()
                async let first: Void = counter.increment()
                let value = await counter.get()
                await first
                expect(value == 0, "it came first")
            }
            XCTFail("nothing was found")
        } catch let failure as ExplorationFailure {
            XCTAssertTrue(failure.description.contains("it came first"))
        }
    }
}
