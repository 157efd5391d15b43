// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A work item with a function.
///
///     let refill = Work(name: "refill") { pool.refill() }
///     queue.enqueue(refill)
///
/// The item keeps what its function captures. If that is the object that holds the item, use
/// `ObjectWork`.
public final class Work: WorkItem, @unchecked Sendable {
    public init(
        name: String = "work", file: StaticString = #filePath, line: UInt = #line,
        _ function: @escaping @Sendable () -> Void
    ) {
        super.init(name: name, .plain(function), Site(file, line))
    }

    init(
        name: String, on queue: WorkQueue, at site: Site = Site("", 0),
        _ function: @escaping @Sendable () -> Void
    ) {
        super.init(name: name, .plain(function), on: queue, site)
    }
}

extension Reference {
    /// The reference that `bits` was made of, which is the caller's from here on.
    init(bits: UInt) {
        let pointer = unsafe UnsafeRawPointer(bitPattern: bits).unsafelyUnwrapped
        unsafe self.init(counted: Unmanaged.fromOpaque(pointer))
    }

    /// The reference as bits. It is to be made a reference again once.
    consuming func bits() -> UInt {
        let bits = unsafe UInt(bitPattern: object.toOpaque())
        discard self
        return bits
    }
}
