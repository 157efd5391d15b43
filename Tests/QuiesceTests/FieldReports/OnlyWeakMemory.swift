// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Controls, which only weak memory breaks: micahrj/basedrop #10, vorner/arc-swap #198,
/// rust-lang/rust #155609.
@Suite struct OnlyWeakMemory {
    private final class Side: Sendable {
        let word = Atomic(0)
        let seen = Unsynchronized(0)

        init(_ name: String) {
            word.label(name)
            seen.label("seen of \(name)")
        }
    }

    private enum Order {
        case weak, strong, asymmetric
    }

    private func program(_ order: Order) -> (ExploredWorld) -> Void {
        { world in
            let left = Side("left")
            let right = Side("right")
            for (name, own, other) in [("one", left, right), ("two", right, left)] {
                world.thread(name) {
                    switch order {
                    case .weak: own.word.store(1, ordering: .releasing)
                    case .strong: own.word.store(1, ordering: .sequentiallyConsistent)
                    case .asymmetric: own.word.storeAsymmetric(1)
                    }
                    own.seen.store(
                        order == .strong
                            ? other.word.load(ordering: .sequentiallyConsistent)
                            : other.word.load(ordering: .acquiring))
                }
            }
            world.afterwards {
                expect(
                    left.seen.load() + right.seen.load() > 0, "neither saw the other's store")
            }
        }
    }

    @Test func `weak orders are verified for the memory model that is named`() throws {
        let report = try Exploration("weak", program(.weak)).run()
        #expect(report.result == "verified" && report.coverage == .all)
        #expect(report.memoryModel.contains("sequentially consistent"))
    }

    @Test func `stores that wait in a buffer are found`() throws {
        try expectFound(
            .expectation, shows: ["neither saw the other's store", "left → 0", "right → 0"],
            columns: ["one", "two"], program(.asymmetric))
    }

    @Test func `strong orders are verified`() throws {
        try expectVerified(program(.strong))
    }
}
