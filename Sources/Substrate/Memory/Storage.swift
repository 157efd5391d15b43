// SPDX-License-Identifier: Apache-2.0

/// Manually managed memory for one value: what a pointer into a kernel object is.
///
/// A copy of a `Storage` is another pointer to the same memory. Freeing is the unsafe act: nothing
/// may reach the memory afterwards. While explored, the free is logical until the execution ends: a
/// late access, through this type or through any Substrate object inside the value, is a finding
/// and not a corruption; and a value that is never freed is a leak.
@safe
@frozen
public struct Storage<Value: ~Copyable>: Copyable {
    @usableFromInline let pointer: UnsafeMutablePointer<Value>

    /// Allocates memory that holds `value`.
    ///
    /// - Parameter name: what traces call it; a number is added when the name is not unique.
    public static func allocate(
        _ value: consuming Value, name: String = "storage", file: StaticString = #filePath,
        line: UInt = #line
    ) -> Storage {
        let pointer: UnsafeMutablePointer<Value>
        if let observer = Watch.observer {
            unsafe pointer = observer.with {
                unsafe $0.allocate(
                    size: MemoryLayout<Value>.size, alignment: MemoryLayout<Value>.alignment,
                    name: name,
                    site: Site(file, line)
                ) { unsafe Self.destroy($0) }
            }.bindMemory(to: Value.self, capacity: 1)
        } else {
            unsafe pointer = .allocate(capacity: 1)
        }
        unsafe pointer.initialize(to: value)
        return unsafe Storage(pointer: pointer)
    }

    @usableFromInline
    init(pointer: UnsafeMutablePointer<Value>) {
        unsafe self.pointer = pointer
    }

    @usableFromInline
    var address: UInt {
        @inlinable get { UInt(bitPattern: unsafe pointer) }
    }

    private static func destroy(_ raw: UnsafeMutableRawPointer) {
        unsafe raw.assumingMemoryBound(to: Value.self).deinitialize(count: 1)
    }

    /// Ends the value's life and gives its memory back.
    ///
    /// - Important: No access to the memory may follow, by any copy of this pointer.
    @unsafe
    public func free(file: StaticString = #filePath, line: UInt = #line) {
        if let observer = Watch.observer {
            _ = observer.perform(Operation(.free, address, .relaxed, site: Site(file, line)))
        } else {
            unsafe pointer.deinitialize(count: 1)
            unsafe pointer.deallocate()
        }
    }

    /// The value in place, to reach the Substrate objects inside it. Computing a place is no
    /// access: those objects' own operations are.
    @inlinable
    public var pointee: Value {
        unsafeAddress { unsafe UnsafePointer(pointer) }
    }
}

// A pointer: the program decides which thread uses the memory when, which exploring checks. The
// value itself is used by several threads, so it must be Sendable.
extension Storage: @unchecked Sendable where Value: ~Copyable & Sendable {}

extension Storage: Equatable where Value: ~Copyable {
    @inlinable
    public static func == (left: Storage, right: Storage) -> Bool {
        unsafe left.pointer == right.pointer
    }
}

extension Storage {
    /// Reads the whole value.
    @inlinable
    public func read(file: StaticString = #filePath, line: UInt = #line) -> Value {
        if let observer = Watch.observer {
            _ = observer.perform(
                Operation(.plainRead, address, .relaxed, site: Site(file, line)))
        }
        return unsafe pointer.pointee
    }

    /// Writes the whole value.
    @inlinable
    public func write(_ value: consuming Value, file: StaticString = #filePath, line: UInt = #line)
    {
        if let observer = Watch.observer {
            _ = observer.perform(
                Operation(.plainWrite, address, .relaxed, site: Site(file, line)))
        }
        unsafe pointer.pointee = value
    }
}

extension Storage: CustomStringConvertible where Value: ~Copyable {
    /// The name of the memory while it is explored, else its address.
    public var description: String {
        Watch.observer?.with { $0.name(ofStorageAt: address) } ?? "0x" + String(address, radix: 16)
    }
}
