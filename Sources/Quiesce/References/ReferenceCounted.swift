// SPDX-License-Identifier: Apache-2.0

/// An object whose end is decided by its own count of references: `release()` runs once, when the
/// last one is dropped.
///
/// Declare `let referenceCount = ReferenceCount()` and write what the end means in `release()`.
/// Then hand out `Reference`s. The count is the object's own, beside Swift's: an object may be
/// released while Swift still keeps its memory, and what must happen at the end happens at a known
/// point.
///
/// Kernel counterpart: a structure with an embedded `struct kref`.
public protocol ReferenceCounted: AnyObject, Sendable {
    /// How many references there are. Starts at 1, which belongs to the first
    /// `Reference`.
    var referenceCount: ReferenceCount { get }

    /// Ends the object. Called once, by the thread that drops the last reference.
    func release()

    /// Whether what is in the object may be used after its release, while its memory is kept.
    /// While explored, such a use of an object that is not so is a finding. False unless the type
    /// says otherwise.
    static var isUsableAfterRelease: Bool { get }
}

extension ReferenceCounted {
    public static var isUsableAfterRelease: Bool { false }
}

extension ReferenceCounted {
    /// A reference to this object, unless its last one is gone. Kernel: `kref_get_unless_zero`.
    ///
    /// For lookups: the table that finds the object keeps its memory, not its life.
    @inlinable
    public func tryReference(file: StaticString = #filePath, line: UInt = #line) -> Reference<Self>?
    {
        guard referenceCount.incrementUnlessZero(file: file, line: line) else { return nil }
        return unsafe Reference(counted: Unmanaged.passUnretained(self))
    }
}
