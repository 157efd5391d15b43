// SPDX-License-Identifier: Apache-2.0

import CPeers
import Quiesce
import Substrate

/// What is released in reverse order: our scope, and a list of closures.
public enum Scopes {
    public static let all = [addAndRelease, appendAndCall, acquireAndRelease]

    public static let addAndRelease = Case(
        "ResourceScope add + release",
        .blocking { _ in
            { count in
                let scope = ObjectScope()
                for index in 0..<count { try! scope.add { touch(index) } }
                try! scope.close()
            }
        })

    public static let appendAndCall = Case(
        "append a closure, call it",
        .blocking { _ in
            { count in
                var list: [@Sendable () throws -> Void] = []
                for index in 0..<count { list.append { touch(index) } }
                while let last = list.popLast() { try! last() }
            }
        })

    static let acquireAndRelease = Case(
        "BindingScope acquire + release", count: 2_000,
        .blocking { _ in
            { count in
                let scope = BindingScope()
                for index in 0..<count {
                    _ = try! scope.acquire("value") {
                        index
                    } release: {
                        touch($0)
                    }
                }
                try! scope.close()
            }
        })

    private static func touch(_ index: Int) {
        if index >= 0 { peers_touch_memory() }
    }
}
