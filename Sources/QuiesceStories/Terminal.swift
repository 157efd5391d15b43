// SPDX-License-Identifier: Apache-2.0

package import Explorer
import Foundation

/// What may be written where: colour and a progress line only where a person looks.
package struct Terminal: Sendable {
    /// What a person types to run the program.
    package let command: String
    package let hasColor: Bool
    private let line = ProgressLine()

    package init(command: String = "quiesce") {
        self.command = command
        let isPlain = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        hasColor = isatty(STDOUT_FILENO) == 1 && !isPlain
    }

    package func green(_ text: String) -> String { colored(text, "32") }
    package func red(_ text: String) -> String { colored(text, "31") }

    private func colored(_ text: String, _ code: String) -> String {
        hasColor ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    /// Says how far an exploration is, once a person has waited for some seconds.
    package func progress(_ progress: ExplorationProgress) { line.show(progress) }
    package func progress(_ text: String) { line.show { text } }
    package func endProgress() { line.end() }
}

extension String {
    /// The text followed by blanks up to `width`.
    package func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}

/// Prints a value as JSON, keys sorted, on standard output.
package func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

package func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }
