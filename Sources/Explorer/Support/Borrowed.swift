// SPDX-License-Identifier: Apache-2.0

/// An object that somebody else keeps for as long as this refers to it, used without counting
/// references.
@safe
struct Borrowed<Object: AnyObject> {
    private let reference: Unmanaged<Object>?

    init() { unsafe reference = nil }

    init(_ object: Object) { unsafe reference = .passUnretained(object) }

    @inline(__always)
    func with<Result>(_ body: (Object) -> Result) -> Result {
        guard let reference = unsafe reference else { fatalError("nothing was borrowed") }
        return unsafe reference._withUnsafeGuaranteedRef(body)
    }
}
