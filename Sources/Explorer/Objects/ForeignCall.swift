// SPDX-License-Identifier: Apache-2.0

/// A call by which the program synchronizes without Substrate, so that the explorer does not see
/// what it orders.
struct ForeignCall: CustomStringConvertible {
    let function: String
    /// The functions that made it, innermost first.
    let frames: [UInt]

    var description: String {
        guard let place = Symbolizer.place(of: frames, isReturn: true) else { return function }
        return "\(function), called in \(place.short),"
    }
}
