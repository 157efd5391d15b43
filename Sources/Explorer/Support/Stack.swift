// SPDX-License-Identifier: Apache-2.0

/// A growable row of plain values that never gives its memory back while it lives.
///
/// The explorer's steps allocate nothing once the first executions have grown their stacks.
/// Elements are changed in place, through a constant reference: its owners are classes, whose
/// variables would be checked for exclusive access at every step. One thread at a time uses a
/// stack, and no access lasts longer than an expression.
@safe
struct Stack<Element: BitwiseCopyable>: ~Copyable {
    @safe
    fileprivate struct Header {
        var base: UnsafeMutablePointer<Element>
        var capacity: Int
        var count: Int
    }

    fileprivate let header: UnsafeMutablePointer<Header>

    init(capacity: Int = 64) {
        unsafe header = .allocate(capacity: 1)
        unsafe header.initialize(
            to: Header(base: .allocate(capacity: capacity), capacity: capacity, count: 0))
    }

    deinit {
        unsafe header.pointee.base.deallocate()
        unsafe header.deallocate()
    }

    var count: Int { @inline(__always) get { unsafe header.pointee.count } }
    var isEmpty: Bool { @inline(__always) get { count == 0 } }

    subscript(index: Int) -> Element {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(address(of: index)) }
        @inline(__always)
        nonmutating unsafeMutableAddress { unsafe address(of: index) }
    }

    /// Where an element is, for a type that hands it out in place.
    @unsafe
    @inline(__always)
    func address(of index: Int) -> UnsafeMutablePointer<Element> {
        // One comparison: a negative index is a large one.
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
        return unsafe header.pointee.base + index
    }

    @inline(__always)
    func append(_ element: Element) {
        let count = count
        if unsafe count == header.pointee.capacity { grow(to: count &+ 1) }
        unsafe (header.pointee.base + count).initialize(to: element)
        unsafe header.pointee.count = count &+ 1
    }

    /// Appends copies of `element` until there are `newCount`.
    @inline(__always)
    func extend(to newCount: Int, with element: Element) {
        while count < newCount { append(element) }
    }

    /// Holds `newCount` copies of `element` and nothing else.
    @inline(__always)
    func refill(_ newCount: Int, with element: Element) {
        if unsafe newCount > header.pointee.capacity { grow(to: newCount) }
        unsafe header.pointee.base.update(repeating: element, count: newCount)
        unsafe header.pointee.count = newCount
    }

    @inline(__always)
    func truncate(to newCount: Int) {
        precondition(newCount >= 0 && newCount <= count)
        unsafe header.pointee.count = newCount
    }

    @inline(__always)
    func removeAll() { unsafe header.pointee.count = 0 }

    /// Takes the elements of `other` in place of its own.
    func replace(with other: borrowing Stack) {
        unsafe swap(&header.pointee, &other.header.pointee)
    }

    @inline(never)
    fileprivate func grow(to needed: Int) {
        let larger = unsafe max(header.pointee.capacity * 2, needed)
        let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
        unsafe moved.update(from: header.pointee.base, count: count)
        unsafe header.pointee.base.deallocate()
        unsafe header.pointee.base = moved
        unsafe header.pointee.capacity = larger
    }
}

extension Stack where Element == UInt32 {
    /// Raises each of `length` elements at `target` to the one at `source` where that is larger.
    @inline(__always)
    func joinRow(at target: Int, with source: Int, length: Int) {
        precondition(
            target >= 0 && source >= 0 && target + length <= count && source + length <= count)
        let base = unsafe header.pointee.base
        for offset in 0..<length {
            unsafe (base + target + offset).pointee = max(
                unsafe (base + target + offset).pointee, unsafe (base + source + offset).pointee)
        }
    }
}
