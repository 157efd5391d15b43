// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate

/// Runs `body` while the system has no thread to give, since it has no memory for a stack. The
/// caller has a process of its own.
package func withoutThreads(_ body: () throws -> Void) throws {
    let resource = __rlimit_resource_t(RLIMIT_AS.rawValue)
    var limit = rlimit()
    guard unsafe getrlimit(resource, &limit) == 0, let size = processMemory()?.size else {
        fatalError("the system does not tell how much memory the process has")
    }
    var least = limit
    // Room for what is allocated meanwhile, and not for a stack.
    least.rlim_cur = UInt(size + 1 << 20)
    precondition(unsafe setrlimit(resource, &least) == 0)
    defer { precondition(unsafe setrlimit(resource, &limit) == 0) }
    precondition((try? WorldThread.spawn {}) == nil, "a thread was started all the same")
    try body()
}
