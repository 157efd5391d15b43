// SPDX-License-Identifier: Apache-2.0

/// A place in the source that was found by an address in the program.
struct CodePlace: Equatable {
    var function: String
    var path: String
    var line: UInt

    var fileName: String { path.split(separator: "/").last.map(String.init) ?? path }
}
