// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// One reference to an object, given back when it goes out of scope.
///
/// It cannot be copied: `share()` makes another one. Sharing and dropping are one atomic update
/// each, and touch neither Swift's own count nor a side table. Kernel counterpart: what `kref_get`
/// and `kref_put` count.
@safe
@frozen
public struct Reference<Object: ReferenceCounted>: ~Copyable {
    // The object is kept by one reference of Swift's that belongs to all of these together.
    @usableFromInline let object: Unmanaged<Object>

    /// The first reference to an object, which takes over the count of 1 that it starts with.
    ///
    /// The object must be new: it has one first reference.
    public init(_ object: Object, file: StaticString = #filePath, line: UInt = #line) {
        unsafe self.object = ObjectLife.begin(
            object, countedBy: object.referenceCount.count, endsUse: !Object.isUsableAfterRelease,
            file: file,
            line: line)
    }

    @inlinable
    init(counted object: Unmanaged<Object>) {
        unsafe self.object = object
    }

    @inlinable
    deinit {
        unsafe Self.drop(object)
    }

    /// Another reference to the object. Kernel: `kref_get`.
    @inlinable
    public borrowing func share(file: StaticString = #filePath, line: UInt = #line) -> Reference {
        unsafe object._withUnsafeGuaranteedRef {
            $0.referenceCount.increment(file: file, line: line)
        }
        return unsafe Reference(counted: object)
    }

    /// Gives the reference back, and says whether it was the last. Kernel: `kref_put`.
    @inlinable
    @discardableResult
    public consuming func drop(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        let object = unsafe self.object
        discard self
        return unsafe Self.drop(object, file, line)
    }

    /// Gives the reference back, holding `lock` if it is the last: no code that looks the object
    /// up under the lock finds it half released. Kernel: `kref_put_mutex`.
    ///
    /// - Returns: whether it was the last. Then `release()` ran, with the lock held.
    @available(*, noasync, message: "it may block on the lock")
    @discardableResult
    public consuming func drop<Value: ~Copyable>(
        locking lock: borrowing Mutex<Value>, file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        let object = unsafe self.object
        discard self
        let isLast = unsafe object._withUnsafeGuaranteedRef { body in
            // Not the last one: no lock is taken.
            if body.referenceCount.decrementUnlessOne(file: file, line: line) { return false }
            lock.lock(file: file, line: line)
            defer { lock.unlock(file: file, line: line) }
            guard body.referenceCount.decrementAndTest(file: file, line: line) else { return false }
            body.release()
            return true
        }
        if isLast { unsafe ObjectLife.end(object, file: file, line: line) }
        return isLast
    }

    /// Calls `body` with the object.
    @inlinable
    public borrowing func withObject<Result: ~Copyable, Failure: Error>(
        _ body: (Object) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        unsafe try body(object.takeUnretainedValue())
    }

    @inlinable
    @discardableResult
    static func drop(
        _ object: Unmanaged<Object>, _ file: StaticString = #filePath, _ line: UInt = #line
    ) -> Bool {
        let isLast = unsafe object._withUnsafeGuaranteedRef {
            $0.referenceCount.decrementAndTest(file: file, line: line)
        }
        if isLast { unsafe end(object, file, line) }
        return isLast
    }

    @usableFromInline
    @inline(never)
    static func end(_ object: Unmanaged<Object>, _ file: StaticString, _ line: UInt) {
        unsafe object._withUnsafeGuaranteedRef { $0.release() }
        unsafe ObjectLife.end(object, file: file, line: line)
    }
}

// A reference may be dropped by another thread than the one that took it; the object is Sendable.
extension Reference: @unchecked Sendable {}
