// SPDX-License-Identifier: Apache-2.0

/// Memory for one value at a stable address inside its owner, which decides what may touch it when.
@frozen
@usableFromInline
@_rawLayout(like: Value, movesAsLike)
struct Cell<Value: ~Copyable>: ~Copyable {
    @inlinable
    init(_ value: consuming Value) {
        unsafe address.initialize(to: value)
    }

    @inlinable
    deinit {
        unsafe address.deinitialize(count: 1)
    }

    /// Where the value is.
    ///
    /// Keep it in a constant and access the value through that: of `&cell.address.pointee` thread
    /// sanitizer believes that it modifies the whole owner, lock word and all.
    @unsafe
    @usableFromInline
    var address: UnsafeMutablePointer<Value> {
        @inlinable
        @inline(__always)
        borrowing get {
            unsafe withUnsafePointer(to: self) {
                unsafe UnsafeMutableRawPointer(mutating: $0).assumingMemoryBound(to: Value.self)
            }
        }
    }
}
