// SPDX-License-Identifier: Apache-2.0

extension Observer {
    /// Up to sixteen bytes of a value's atomic representation.
    public struct Bits: Equatable, Sendable, BitwiseCopyable {
        public var low: UInt64
        public var high: UInt64

        @inlinable
        public init(low: UInt64 = 0, high: UInt64 = 0) {
            self.low = low
            self.high = high
        }

        /// The bytes of `value`, which is at most sixteen long and holds no references.
        @inlinable
        public init<Value>(of value: Value) {
            self.init()
            let size = MemoryLayout<Value>.size
            unsafe withUnsafeBytes(of: value) { source in
                unsafe withUnsafeMutableBytes(of: &self) { target in
                    unsafe target.baseAddress!.copyMemory(
                        from: source.baseAddress!, byteCount: min(size, 16))
                }
            }
        }

        /// The value whose bytes these are.
        @inlinable
        public func value<Value>(as type: Value.Type) -> Value {
            unsafe withUnsafeBytes(of: self) { unsafe $0.loadUnaligned(as: Value.self) }
        }
    }
}

@usableFromInline package typealias Bits = Observer.Bits
