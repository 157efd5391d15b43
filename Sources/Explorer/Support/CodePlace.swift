// SPDX-License-Identifier: Apache-2.0

/// A place in the source that was found by an address in the program.
struct CodePlace: Equatable {
    var function: String
    var path: String
    var line: UInt

    /// File and line as a table shows them.
    var short: String {
        let name = fileName.hasSuffix(".swift") ? String(fileName.dropLast(6)) : fileName
        return "\(name):\(line)"
    }

    var fileName: String { path.split(separator: "/").last.map(String.init) ?? path }
}
