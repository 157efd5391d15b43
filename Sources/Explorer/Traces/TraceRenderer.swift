// SPDX-License-Identifier: Apache-2.0

/// Writes a counterexample as a table of at most `width` columns.
public struct TraceRenderer {
    private let style: TraceStyle

    public init(_ style: TraceStyle) {
        self.style = style
    }

    public func render(_ counterexample: Counterexample) -> String {
        let trace = counterexample.trace
        var lines: [String] = []
        let title = "✗ \"\(style.title)\""
        let gap = max(2, style.width - title.count - style.location.count)
        lines.append(
            colored(title, .red) + String(repeating: " ", count: gap)
                + colored(style.location, .faint))
        lines.append("")
        lines += wrapped("\(counterexample.verdict.kind.rawValue): \(trace.sentence)").map {
            "  " + $0
        }
        lines.append("  " + summary(trace))
        lines.append("")
        lines += table(trace)
        if let remark = trace.remark { lines += [""] + wrapped(remark).map { "  " + $0 } }
        if !trace.sources.isEmpty { lines += [""] + sources(trace.sources) }
        lines += ["", "  replay   " + style.replay]
        return lines.map { line in String(line.reversed().drop { $0 == " " }.reversed()) }.joined(
            separator: "\n")
    }

    private func summary(_ trace: Trace) -> String {
        var parts: [String] = []
        if trace.executionNumber > 0 { parts.append("schedule \(grouped(trace.executionNumber))") }
        var preemptions =
            trace.preemptions == 1 ? "1 preemption" : "\(trace.preemptions) preemptions"
        if trace.isMinimal { preemptions += " (fewest possible)" }
        parts.append(preemptions)
        parts.append(
            trace.shown == trace.total
                ? "\(trace.total) events"
                : "\(trace.shown) of \(trace.total) events shown"
                    + (style.rest.map { ", \($0) for the rest" } ?? ""))
        return parts.joined(separator: " · ")
    }

    private func grouped(_ number: Int) -> String {
        var digits = Array(String(number))
        var index = digits.count - 3
        while index > 0 {
            digits.insert(" ", at: index)
            index -= 3
        }
        return String(digits)
    }

    // MARK: The table

    private func table(_ trace: Trace) -> [String] {
        let (threads, rows) = merged(trace)
        let hasState = rows.contains { !$0.state.isEmpty }
        let titles = threads + (hasState ? [trace.stateTitle] : [])
        var cells: [[String]] = []
        for row in rows {
            var line = Array(repeating: "", count: titles.count)
            line[row.thread] = row.badge.isEmpty ? row.text : row.text + "\u{0}" + row.badge
            if hasState { line[titles.count - 1] = row.state }
            cells.append(line)
        }
        let widths = widths(titles, cells)
        var lines = ["    │ " + zip(titles, widths).map { fitted($0, $1) }.joined(separator: " │ ")]
        lines.append(
            "────┼" + widths.map { String(repeating: "─", count: $0 + 2) }.joined(separator: "┼"))
        for (row, line) in zip(rows, cells) {
            let number = row.step.map { "\($0)" } ?? ""
            let padded = String(repeating: " ", count: max(0, 3 - number.count)) + number
            let texts = zip(line, widths).map { cell, width in
                let text = fitted(cell, width)
                if row.badge == "✗" && cell.hasSuffix("✗") { return colored(text, .red) }
                return row.step == nil ? colored(text, .faint) : text
            }
            lines.append(padded + " │ " + texts.joined(separator: " │ "))
        }
        return lines
    }

    /// As many threads as there is room for have a column; the rest share one.
    private func merged(_ trace: Trace) -> ([String], [Trace.Row]) {
        let most = max(2, (style.width - 30) / 14)
        guard trace.threads.count > most else { return (trace.threads, trace.rows) }
        let rows = trace.rows.map { row in
            guard row.thread >= most - 1 else { return row }
            var row = row
            row.text = "\(trace.threads[row.thread]): \(row.text)"
            row.thread = most - 1
            return row
        }
        return (Array(trace.threads[..<(most - 1)]) + ["others"], rows)
    }

    private func widths(_ titles: [String], _ cells: [[String]]) -> [Int] {
        var widths = titles.indices.map { column in
            cells.reduce(titles[column].count) { max($0, natural($1[column])) }
        }
        // The separators and the step's number take their part.
        let available = style.width - 4 - 3 * titles.count
        while widths.reduce(0, +) > available, let widest = widths.max(), widest > 6 {
            if let index = widths.lastIndex(of: widest) { widths[index] -= 1 }
        }
        return widths
    }

    private func natural(_ cell: String) -> Int {
        let parts = cell.split(separator: "\u{0}", omittingEmptySubsequences: false)
        return parts.count == 2 ? parts[0].count + 1 + parts[1].count : cell.count
    }

    /// A cell at its width: the text at the left, its badge at the right.
    private func fitted(_ cell: String, _ width: Int) -> String {
        let parts = cell.split(separator: "\u{0}", omittingEmptySubsequences: false)
        let badge = parts.count == 2 ? String(parts[1]) : ""
        var text = parts.first.map(String.init) ?? ""
        let room = badge.isEmpty ? width : width - badge.count - 1
        if text.count > room { text = String(text.prefix(max(0, room - 1))) + "…" }
        return text + String(repeating: " ", count: max(0, width - text.count - badge.count))
            + badge
    }

    private func sources(_ sources: [Trace.Source]) -> [String] {
        let labels = sources.map { "\($0.badge) \($0.label)" }
        let places = sources.map { "\($0.file):\($0.line)" }
        let labelWidth = labels.map(\.count).max() ?? 0
        let placeWidth = places.map(\.count).max() ?? 0
        return sources.indices.map { index in
            let head =
                "  " + fitted(labels[index], labelWidth) + "  " + fitted(places[index], placeWidth)
            guard let text = sources[index].text else { return head }
            return head + "   " + fitted(text, min(text.count, style.width - head.count - 3))
        }
    }

    // MARK: Text

    private func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + word.count + 1 > style.width - 2 {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " " + word
        }
        return lines + [line]
    }

    private enum Color: String {
        case red = "31", faint = "2"
    }

    private func colored(_ text: String, _ color: Color) -> String {
        style.usesColor ? "\u{1B}[\(color.rawValue)m\(text)\u{1B}[0m" : text
    }
}
