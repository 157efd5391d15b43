// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#elseif canImport(Darwin)
    import Darwin
#endif

/// Tells the person at the terminal how far explorations are, on standard error: on a terminal in
/// one line that each new text replaces, elsewhere in a plain line every ten seconds. Short runs
/// print nothing.
package final class ProgressLine: Sendable {
    private let isTerminal: Bool
    private let seconds: @Sendable () -> Double
    private let write: @Sendable (String) -> Void
    private let state = Synchronization.Mutex(State())

    private struct State {
        /// When something was told last; before that, nothing is to be told until `first`.
        var last = 0.0
        var hasLine = false
    }

    /// Seconds until the first line, and from one to the next.
    private var first: Double { isTerminal ? 2 : 5 }
    private var interval: Double { isTerminal ? 0.25 : 10 }

    /// - Parameters:
    ///   - seconds: how long the person has been waiting.
    ///   - write: writes a text to where the person looks.
    package init(
        isTerminal: Bool, seconds: @escaping @Sendable () -> Double,
        write: @escaping @Sendable (String) -> Void
    ) {
        self.isTerminal = isTerminal
        self.seconds = seconds
        self.write = write
    }

    /// On standard error, from now on.
    package convenience init() {
        let start = quiesce_monotonic_nanoseconds()
        self.init(
            isTerminal: isatty(STDERR_FILENO) == 1,
            seconds: { Double(quiesce_monotonic_nanoseconds() - start) / 1e9 },
            write: tellStandardError)
    }

    /// Shows how far an exploration is, if it is time to.
    package func show(_ progress: ExplorationProgress) {
        show { ProgressLine.text(progress, columns: self.isTerminal ? 79 : .max) }
    }

    /// Shows a text, if it is time to.
    package func show(_ text: () -> String) {
        let now = seconds()
        state.withLock { state in
            guard now >= (state.last == 0 ? first : state.last + interval) else { return }
            state.last = now
            state.hasLine = isTerminal
            write(isTerminal ? "\r\u{1B}[K\(text())" : "\(text())\n")
        }
    }

    /// Takes the line away, so that a result can stand in its place.
    package func end() {
        state.withLock { state in
            if state.hasLine { write("\r\u{1B}[K") }
            state.hasLine = false
        }
    }

    /// What is said of an exploration, in at most so many columns.
    package static func text(_ progress: ExplorationProgress, columns: Int = .max) -> String {
        var rest =
            ": \(progress.executions) executions in \(duration(progress.seconds)), "
            + "\(Int(progress.rate)) a second"
        if let left = progress.secondsLeft { rest += ", about \(duration(left)) left" }
        let room = max(columns - rest.count, 8)
        let name =
            progress.name.count > room ? progress.name.prefix(room - 1) + "…" : progress.name[...]
        return name + rest
    }

    private static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<90: "\(Int(seconds.rounded())) s"
        case ..<5400: "\(Int((seconds / 60).rounded())) min"
        case ..<172_800: "\(Int((seconds / 3600).rounded())) h"
        default: "\(Int(min(seconds / 86_400, 1e6).rounded())) days"
        }
    }
}

@Sendable private func tellStandardError(_ text: String) {
    let bytes = Array(text.utf8)
    unsafe bytes.withUnsafeBytes { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
