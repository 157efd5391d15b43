// SPDX-License-Identifier: Apache-2.0

extension Observer {
    /// One operation on one object, as an observer sees it before it happens, where it is neither
    /// atomic nor a mutex's: those come in registers.
    public struct Operation {
        public var kind: OperationKind
        public var order: MemoryOrder
        /// Whether the operation prefers its object's readers (`RWLock`).
        public var prefersReaders = false
        /// Whether a wait is for somebody to serve: it may last for ever.
        public var isIdle = false
        /// The address of the object, its identity while it lives. 0 where there is none (a fence).
        public var object: UInt
        /// A second object: the mutex of a condition wait, the thread of a join.
        public var other: UInt = 0
        /// The bits that a parking wait expects; the count of a wake.
        public var operand: Bits = Bits()
        /// When a wait or a sleep ends, in monotonic nanoseconds; 0 for never.
        public var deadline: UInt64 = 0
        public var site: Site

        @inlinable
        public init(
            _ kind: OperationKind, _ object: UInt, _ order: MemoryOrder, site: Site
        ) {
            self.kind = kind
            self.object = object
            self.order = order
            self.site = site
        }
    }
}

@usableFromInline package typealias Operation = Observer.Operation
