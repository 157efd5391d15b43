// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// What happened, in order.
package final class Log: Sendable {
    private let list = Mutex<[String]>([])

    package init() { list.label("log") }

    package func note(_ event: String) { list.withLock { $0.append(event) } }
    package var all: [String] { list.withLock { $0 } }

    /// What happened since the last call.
    package func take() -> [String] {
        list.withLock { list in
            defer { list = [] }
            return list
        }
    }
}

/// Runs what must not throw in an explored program, and returns its result; nil where it threw.
@discardableResult
package func sure<Result>(_ body: () throws -> Result) -> Result? {
    do { return try body() } catch {
        expect(false, "\(error)")
        return nil
    }
}
