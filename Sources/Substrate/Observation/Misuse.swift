// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// Tells the observer of the running thread that something was used wrongly, in a way that the
/// program survives.
///
/// - Returns: whether anybody watches.
package func reportMisuse(
    _ sentence: @autoclosure () -> String, file: StaticString = #filePath, line: UInt = #line
) -> Bool {
    guard let observer = Watch.observer else { return false }
    let text = sentence()
    observer.with { $0.misuse(text, at: Site(file, line)) }
    return true
}

/// Writes a sentence to standard error, with the package's name before it.
package func warn(_ sentence: String) {
    var text = "quiesce: \(sentence)\n"
    text.withUTF8 { unsafe quiesce_write_error($0.baseAddress!, $0.count) }
}
