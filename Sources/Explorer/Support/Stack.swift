// SPDX-License-Identifier: Apache-2.0

/// A growable row of plain values that never gives its memory back while it lives.
///
/// The explorer's steps allocate nothing once the first executions have grown their stacks. Elements are changed in place.
@safe
struct Stack<Element: BitwiseCopyable>: ~Copyable {
    private var base: UnsafeMutablePointer<Element>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int = 64) {
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit {
        unsafe base.deallocate()
    }

    var isEmpty: Bool { @inline(__always) get { count == 0 } }

    subscript(index: Int) -> Element {
        @inline(__always)
        unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(base + index)
        }
        @inline(__always)
        unsafeMutableAddress {
            precondition(index >= 0 && index < count)
            return unsafe base + index
        }
    }

    /// Where an element is, for a type that hands it out in place.
    @unsafe
    @inline(__always)
    func address(of index: Int) -> UnsafePointer<Element> {
        precondition(index >= 0 && index < count)
        return unsafe UnsafePointer(base + index)
    }

    @unsafe
    @inline(__always)
    mutating func mutableAddress(of index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < count)
        return unsafe base + index
    }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count == capacity { grow(to: count + 1) }
        unsafe (base + count).initialize(to: element)
        count += 1
    }

    /// Appends copies of `element` until there are `newCount`.
    @inline(__always)
    mutating func extend(to newCount: Int, with element: Element) {
        while count < newCount { append(element) }
    }

    @inline(__always)
    mutating func truncate(to newCount: Int) {
        precondition(newCount <= count)
        count = newCount
    }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    /// Appends `length` elements starting at `start` of this stack again, and returns where they begin.
    @inline(__always)
    mutating func duplicate(from start: Int, length: Int) -> Int {
        precondition(start >= 0 && length >= 0 && start + length <= count)
        let result = count
        if count + length > capacity { grow(to: count + length) }
        unsafe (base + count).update(from: base + start, count: length)
        count += length
        return result
    }

    @inline(never)
    private mutating func grow(to needed: Int) {
        let larger = max(capacity * 2, needed)
        let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
        unsafe moved.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = moved
        capacity = larger
    }
}

extension Stack where Element == UInt32 {
    /// Raises each of `length` elements at `target` to the one at `source` where that is larger.
    @inline(__always)
    mutating func joinRow(at target: Int, with source: Int, length: Int) {
        precondition(target >= 0 && source >= 0 && target + length <= count && source + length <= count)
        for offset in 0..<length {
            unsafe (base + target + offset).pointee = max(
                unsafe (base + target + offset).pointee, unsafe (base + source + offset).pointee)
        }
    }
}
