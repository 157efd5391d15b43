// SPDX-License-Identifier: Apache-2.0

import Explorer
import Foundation

/// A folder of pages: an index, and one page for each counterexample.
enum HTMLReport {
    static func write(
        _ results: [StoryResult], to folder: String, _ terminal: Terminal
    ) throws {
        do {
            let directory = URL(fileURLWithPath: folder, isDirectory: true)
            try FileManager.default.createDirectory(
                at: directory, withIntermediateDirectories: true)
            for result in results {
                guard let counterexample = result.report.counterexample else { continue }
                let page = page(
                    result.story.title,
                    "<pre>\(escaped(text(counterexample, of: result.story, terminal)))</pre>")
                try Data(page.utf8).write(
                    to: directory.appendingPathComponent("\(result.story.name).html"))
            }
            try Data(index(results, terminal).utf8).write(
                to: directory.appendingPathComponent("index.html"))
        } catch {
            throw BadInput(
                "the report cannot be written to \"\(folder)\": \(error.localizedDescription)")
        }
    }

    private static func text(
        _ counterexample: Counterexample, of story: Story, _ terminal: Terminal
    ) -> String {
        let style = TraceStyle(
            title: story.title, location: story.text,
            replay: "\(terminal.command) replay \(story.name) \(counterexample.token)")
        return TraceRenderer(style).render(counterexample)
    }

    private static func index(_ results: [StoryResult], _ terminal: Terminal) -> String {
        let rows = results.map { result in
            let title = escaped(result.story.title)
            let link =
                result.report.counterexample == nil
                ? title : "<a href=\"\(result.story.name).html\">\(title)</a>"
            return
                "<tr class=\"\(result.isAsExpected ? "good" : "bad")\"><td>\(result.story.form.rawValue)</td><td>\(link)</td>"
                + "<td>\(escaped(result.found))</td><td>\(result.report.executions)</td></tr>"
        }
        let head = "<tr><th>form</th><th>story</th><th>found</th><th>executions</th></tr>"
        return page(
            "\(terminal.command) check",
            "<table>\(head)\n\(rows.joined(separator: "\n"))</table>")
    }

    private static func page(_ title: String, _ body: String) -> String {
        """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><title>\(escaped(title))</title>
        <meta name="viewport" content="width=device-width">
        <style>
        :root { color-scheme: light dark; }
        body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; }
        pre { font: 14px/1.35 ui-monospace, monospace; overflow-x: auto; }
        td, th { padding: .25rem 1rem .25rem 0; text-align: left; }
        .good td:nth-child(3)::before { content: "✓ "; color: #080; }
        .bad td:nth-child(3)::before { content: "✗ "; color: #c00; }
        </style></head>
        <body><h1>\(escaped(title))</h1>
        \(body)
        </body></html>

        """
    }

    private static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(
            of: "<", with: "&lt;"
        )
        .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
    }
}
