// SPDX-License-Identifier: Apache-2.0

package import Glibc
import Substrate

/// Runs `body` while the system has no thread to give, since it has no memory for a stack. The
/// caller has a process of its own.
package func withoutThreads(_ body: () throws -> Void) throws {
    // Room for what is allocated meanwhile, and not for a stack.
    let former = limitMemory(toGrowBy: 1 << 20)
    defer { setMemoryLimit(former) }
    precondition((try? WorldThread.spawn {}) == nil, "a thread was started all the same")
    try body()
}

/// Lets the process have so many bytes more than it has now. The caller has a process of its own.
///
/// - Returns: the limit before.
@discardableResult
package func limitMemory(toGrowBy growth: Int) -> rlimit {
    var limit = rlimit()
    guard unsafe getrlimit(memory, &limit) == 0, let size = processMemory()?.size else {
        fatalError("the system does not tell how much memory the process has")
    }
    let former = limit
    limit.rlim_cur = UInt(size + growth)
    setMemoryLimit(limit)
    return former
}

private let memory = __rlimit_resource_t(RLIMIT_AS.rawValue)

private func setMemoryLimit(_ limit: rlimit) {
    var limit = limit
    precondition(unsafe setrlimit(memory, &limit) == 0)
}
