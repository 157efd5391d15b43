// SPDX-License-Identifier: Apache-2.0

/// A call by which the program synchronizes without Substrate, so that the explorer does not see
/// what it orders.
struct ForeignCall: CustomStringConvertible {
    private let function: String
    /// The functions that made it, innermost first.
    private let frames: [UInt]
    private let known: String?

    init(function: String, frames: [UInt]) {
        (self.function, self.frames, known) = (function, frames, nil)
    }

    /// One that another process met, by its description.
    init(known: String) { (function, frames, self.known) = ("", [], known) }

    var description: String {
        if let known { return known }
        guard let place = Symbolizer.place(of: frames, isReturn: true) else { return function }
        return "\(function), called in \(place.short),"
    }
}
