// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Explorer

@Suite struct FunctionNameTests {
    @Test(arguments: [
        ("Bank.Account.withdraw(_: Swift.Int) async -> ()", "Account.withdraw(_:)"),
        (
            "(2) suspend resume partial function for Bank.Account.withdraw(_: Swift.Int) async -> ()",
            "Account.withdraw(_:)"
        ),
        ("Tests.(Waiting in _3B9DD98A).run(times: Swift.Int) -> ()", "Waiting.run(times:)"),
        ("Tests.S.(Waiting in _3B9DD98A).run() -> ()", "S.Waiting.run()"),
        ("Tests.S.(run in _3B9DD98A)(for: Tests.(W in _3B9DD98A)) -> ()", "S.run(for:)"),
        ("static Tests.S.make() -> Tests.S", "S.make()"),
        ("static Tests.(S in _3B9DD98A).make() -> Swift.Int", "S.make()"),
        ("closure #1 () -> () in static Tests.S.make() -> Tests.S", "a closure in S.make()"),
        (
            "closure #1 @Sendable () async -> () in closure #2 () -> () in Tests.S.(f in _3B9)() -> ()",
            "a closure in S.f()"
        ),
        (
            "partial apply forwarder for closure #1 @Sendable () -> () in closure #1 (Explorer.ExploredWorld) -> () in Tests.S.run(of: Tests.F) -> ()",
            "a closure in S.run(of:)"
        ),
        ("(extension in Tests):Swift.Array.first(of: A) -> A", "Array.first(of:)"),
        ("static (extension in Tests):Swift.Int.zero() -> Swift.Int", "Int.zero()"),
        (
            "protocol witness for static Tests.P.make() -> () in conformance Tests.S : Tests.P in Tests",
            "P.make()"
        ),
        ("generic specialization <Swift.Int> of Tests.S.f<A>(A) -> ()", "S.f<A>(A)"),
        ("inner #1 () -> () in Tests.S.outer() -> ()", "S.outer()"),
        ("main", "main"),
    ])
    func `a name is short and has no discriminators`(full: String, short: String) {
        #expect(FunctionName.shortened(FunctionName.withoutDiscriminators(full)) == short)
    }

    @Test func `what only looks like a discriminator stays`() {
        #expect(FunctionName.withoutDiscriminators("f(a in b)(c)") == "f(a in b)(c)")
        #expect(FunctionName.withoutDiscriminators("((((") == "((((")
        #expect(FunctionName.withoutDiscriminators("(f in _3B9)((g in _3B9)") == "f(g")
    }
}
