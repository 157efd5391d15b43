// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// A call by which the program synchronizes without Substrate, so that the explorer does not see
/// what it orders.
struct ForeignCall: CustomStringConvertible {
    let function: String
    private let frames: [UInt]

    /// A call that the running code makes.
    init(_ function: String) {
        self.function = function
        var frames = [UInt](repeating: 0, count: 24)
        let count = unsafe frames.withUnsafeMutableBufferPointer {
            unsafe quiesce_backtrace($0.baseAddress!, Int32($0.count))
        }
        self.frames = Array(frames.prefix(Int(count)))
    }

    var description: String {
        guard let place = Symbolizer.place(of: frames, isReturn: true) else { return function }
        return "\(function), called in \(place.short),"
    }
}
