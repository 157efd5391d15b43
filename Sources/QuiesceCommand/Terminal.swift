// SPDX-License-Identifier: Apache-2.0

import Explorer
import Foundation

/// What may be written where: colour and a progress line only where a person looks.
struct Terminal: Sendable {
    let hasColor: Bool
    private let line = ProgressLine()

    init() {
        let isPlain = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        hasColor = isatty(STDOUT_FILENO) == 1 && !isPlain
    }

    func green(_ text: String) -> String { colored(text, "32") }
    func red(_ text: String) -> String { colored(text, "31") }

    private func colored(_ text: String, _ code: String) -> String {
        hasColor ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    /// Says how far an exploration is, once a person has waited for some seconds.
    func progress(_ progress: ExplorationProgress) { line.show(progress) }
    func progress(_ text: String) { line.show { text } }
    func endProgress() { line.end() }
}

extension String {
    /// The text followed by blanks up to `width`.
    func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}

/// Prints a value as JSON, keys sorted, on standard output.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }
