// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// `quiesce conformance`: the cases that the project has, and files that make no sense.
@Suite struct ConformanceTests {
    private var given: URL {
        Bundle.module.bundleURL.appendingPathComponent("Resources/conformance")
    }

    /// Runs `body` in a folder that has `files`.
    private func withFolder<R>(_ files: [String: String], _ body: (URL) throws -> R) throws -> R {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "quiesce-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            try Data(text.utf8).write(to: folder.appendingPathComponent(name))
        }
        return try body(folder)
    }

    /// A file of one reference count suite, with these cases.
    private static func counting(_ cases: String, suite: String = "refcount.test") -> String {
        #"{"suite": "\#(suite)", "cases": [\#(cases)]}"#
    }

    /// A case that passes.
    private static let good =
        #"{"id": "good", "ops": [["init", 1]], "expect": [{"ret": 0, "value": 1, "warn": 0}]}"#

    /// A case of one operation on an event.
    private static func event(
        _ op: String, _ expected: String, initial: String = "0", semaphore: String = "false",
        nonblocking: String = "true"
    ) -> String {
        counting(
            #"""
            {"id": "bad", "initial": \#(initial), "semaphore": \#(semaphore), "nonblocking": \#(nonblocking),
             "ops": [\#(op)], "expect": [\#(expected)]}
            """#, suite: "eventfd.test")
    }

    @Test(arguments: [
        ("refcount-edge.json", 12), ("refcount-fuzz.json", 110), ("refcount-lkdtm.json", 18),
        ("devres-actions_groups.json", 18), ("devres-fuzz.json", 165),
        ("eventfd-nonblocking.json", 91),
    ])
    func `every case of the reference system passes`(file: String, count: Int) throws {
        let run = try quiesce("conformance", given.appendingPathComponent(file).path)
        #expect(run.code == 0, "\(run.output)")
        #expect(run.errors.isEmpty)
        #expect(run.output.contains("\(count) of \(count) cases passed"))
        #expect(!run.output.contains("\u{1B}"), "a pipe gets plain text")
    }

    @Test func `a folder stands for its files, in the order of their names`() throws {
        let run = try quiesce("conformance", given.path, "--json")
        #expect(run.code == 0 && run.errors.isEmpty)
        let json = try #require(run.json)
        #expect(Set(json.keys) == ["suites", "passed", "failed"])
        #expect(json["passed"] as? Int == 414 && json["failed"] as? Int == 0)
        let suites = try #require(json["suites"] as? [[String: Any]])
        #expect(
            suites.map { $0["suite"] as? String } == [
                "devres.actions_groups", "devres.fuzz", "eventfd.nonblocking", "refcount.edge",
                "refcount.fuzz", "refcount.lkdtm",
            ])
        #expect(suites.allSatisfy { Set($0.keys) == ["suite", "passed", "failed"] })
        #expect(suites.allSatisfy { ($0["failed"] as? [String])?.isEmpty == true })
    }

    @Test func `a wrong expectation is exit code 1, and the case is named`() throws {
        let wrong = #"""
            {"id": "wrong", "ops": [["init", 1], ["dec_and_test", 0]],
             "expect": [{"ret": 0, "value": 1, "warn": 0}, {"ret": 0, "value": 0, "warn": 0}]}
            """#
        try withFolder(["a.json": Self.counting(Self.good + "," + wrong)]) { folder in
            let run = try quiesce("conformance", folder.path)
            #expect(run.code == 1 && run.errors.isEmpty)
            let lines = run.output.split(separator: "\n").map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            #expect(
                lines == [
                    "✗ refcount.test                    1 of 2 cases passed",
                    "wrong",
                    "op 2, dec_and_test 0, on ReferenceCount",
                    #"expected {"ret":0,"value":0,"warn":0}"#,
                    #"found    {"ret":1,"value":0,"warn":0}"#,
                    "────────────",
                    "1 suite, 1 of 2 cases passed",
                ])
            let json = try #require(try quiesce("conformance", folder.path, "--json").json)
            #expect(json["passed"] as? Int == 1 && json["failed"] as? Int == 1)
            #expect(
                (json["suites"] as? [[String: Any]])?.first?["failed"] as? [String] == ["wrong"])
        }
    }

    @Test(arguments: [
        (#"["write", "1"]"#, #"{"error": "EAGAIN"}"#, #"{"ret":8}"#),
        (#"["write", "18446744073709551615"]"#, #"{"ret": 8}"#, #"{"error":"EINVAL"}"#),
        (#"["read"]"#, #"{"ret": 8, "value": "5"}"#, #"{"ret":8,"value":"1"}"#),
        (#"["read_short", "4"]"#, #"{"error": "EAGAIN"}"#, #"{"error":"EINVAL"}"#),
        (
            #"["poll"]"#, #"{"readable": true, "writable": true, "error": true}"#,
            #"{"error":false,"readable":true,"writable":true}"#
        ),
    ])
    func `a wrong expectation of an event is found`(op: String, expected: String, found: String)
        throws
    {
        let file = Self.event(op, expected, initial: "5", semaphore: "true")
        try withFolder(["a.json": file]) { folder in
            let run = try quiesce("conformance", folder.path)
            #expect(run.code == 1 && run.errors.isEmpty)
            #expect(
                run.output.contains("found    " + found) && run.output.contains("on EventCounter"),
                "\(run.output)")
        }
    }

    @Test func `every expectation is compared`() throws {
        // One number more in any key of any expectation is a case that fails.
        let path = given.appendingPathComponent("refcount-edge.json")
        let text = try String(contentsOf: path, encoding: .utf8)
        let original = try #require(
            JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        var cases = try #require(original["cases"] as? [[String: Any]])
        for index in cases.indices {
            var expected = try #require(cases[index]["expect"] as? [[String: Any]])
            let key = ["value", "warn"][index % 2]
            expected[expected.count - 1][key] =
                try #require(expected[expected.count - 1][key] as? Int) + 1
            cases[index]["expect"] = expected
        }
        let changed: [String: Any] = ["suite": "refcount.changed", "cases": cases]
        let data = try JSONSerialization.data(withJSONObject: changed)
        try withFolder(["a.json": String(decoding: data, as: UTF8.self)]) { folder in
            let run = try quiesce("conformance", folder.path, "--json")
            #expect(run.code == 1)
            #expect(run.json?["failed"] as? Int == cases.count && run.json?["passed"] as? Int == 0)
        }
    }

    @Test func `what a file says does not widen the output or reach the terminal`() throws {
        let long = String(repeating: "x", count: 200) + #"\u001b[2J\n"#
        let text = Self.counting(
            #"{"id": "\#(long)", "ops": [["init", 1]], "expect": [{"ret": 0, "value": 2, "warn": 0}]}"#,
            suite: "refcount." + long)
        let refused = Self.counting(
            Self.good.replacing("good", with: long).replacing("init", with: long))
        try withFolder(["a.json": text, "b": refused]) { folder in
            let run = try quiesce("conformance", folder.path)
            #expect(run.code == 1)
            #expect(run.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
            #expect(!run.output.contains("\u{1B}"))
            expectRefused(try quiesce("conformance", folder.appendingPathComponent("b").path))
        }
    }

    @Test func `a suite that nothing runs is skipped in a folder and refused by name`() throws {
        let other = Self.counting(Self.good, suite: "other.test")
        try withFolder(["a.json": Self.counting(Self.good), "b.json": other, "c.txt": "no"]) {
            folder in
            try FileManager.default.createDirectory(
                at: folder.appendingPathComponent("d.json"), withIntermediateDirectories: false)
            let run = try quiesce("conformance", folder.path)
            #expect(run.code == 0)
            #expect(run.output.contains("1 suite, 1 of 1 case passed"))
            let lines = run.errors.split(separator: "\n")
            #expect(lines.count == 1)
            #expect(
                lines.first?.hasPrefix("skipped ") == true
                    && lines.first?.contains("b.json") == true)

            let refused = try quiesce("conformance", folder.appendingPathComponent("b.json").path)
            expectRefused(refused)
            for part in ["b.json", "\"other.test\"", "refcount.*", "eventfd.*"] {
                #expect(refused.errors.contains(part))
            }
            try FileManager.default.removeItem(at: folder.appendingPathComponent("a.json"))
            expectRefused(try quiesce("conformance", folder.path))
        }
    }

    private static let expected = #"{"ret": 0, "value": 1, "warn": 0}"#

    /// Files that make no sense, and what the sentence about each says.
    private static let malformed: [(file: String, sentence: String)] = [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "names no suite"),
        (#"{"cases": []}"#, "names no suite"),
        (#"{"suite": 1, "cases": []}"#, "names no suite"),
        (#"{"suite": "refcount.test"}"#, "has no cases"),
        (counting(""), "has no cases"),
        (counting("1"), "case 1: it is no object"),
        (counting(#"{"ops": [], "expect": []}"#), "case 1: it has no id"),
        (counting(good + "," + good), #"case "good": the id is there twice"#),
        (counting(#"{"id": "bad", "expect": [\#(expected)]}"#), #"it has no list "ops""#),
        (counting(#"{"id": "bad", "ops": [], "expect": []}"#), #"it has no list "ops""#),
        (counting(#"{"id": "bad", "ops": [["init", 1]]}"#), #"it has no list "expect""#),
        (
            counting(#"{"id": "bad", "ops": [["init", 1]], "expect": []}"#),
            "1 ops and 0 expectations"
        ),
        (
            counting(#"{"id": "bad", "ops": ["init"], "expect": [\#(expected)]}"#),
            "op 1 must be a list"
        ),
        (
            counting(#"{"id": "bad", "ops": [["init", 1, 1]], "expect": [\#(expected)]}"#),
            "op 1 must be a list"
        ),
        (
            counting(#"{"id": "bad", "ops": [["init", 1]], "expect": [0]}"#),
            "expectation 1 is no object"
        ),
        (
            counting(#"{"id": "bad", "ops": [["inc", 0]], "expect": [\#(expected)]}"#),
            #"first op must be "init""#
        ),
        (
            counting(
                #"{"id": "bad", "ops": [["init", 1], ["jump"]], "expect": [\#(expected), {}]}"#),
            #"case "bad": op 2 is "jump", which this suite does not have"#
        ),
        (
            counting(good.replacing("1]]", with: "2147483648]]")),
            "whole number from -2147483648 to 2147483647"
        ),
        (counting(good.replacing("1]]", with: "1.5]]")), "takes a whole number"),
        (counting(good.replacing("1]]", with: #""1"]]"#)), "takes a whole number"),
        (counting(good.replacing(", 1]]", with: "]]")), "takes a whole number"),
        (
            counting(
                #"{"id": "bad", "ops": [["init", 1], ["inc", 1]], "expect": [\#(expected), \#(expected)]}"#
            ),
            "takes no number but 0"
        ),
        (
            counting(
                #"{"id": "bad", "ops": [["init", 1], ["add", -1]], "expect": [\#(expected), \#(expected)]}"#
            ),
            "takes a whole number from 0"
        ),
        (counting(good.replacing(#", "warn": 0"#, with: "")), "exactly the keys ret, value, warn"),
        (
            counting(good.replacing(#""warn""#, with: #""more": 1, "warn""#)),
            "exactly the keys ret, value, warn"
        ),
        (
            counting(good.replacing(#""warn": 0"#, with: #""warn": false"#)),
            #""warn" of expectation 1"#
        ),
        (
            counting(good.replacing(#""value": 1"#, with: #""value": 4294967296"#)),
            #""value" of expectation 1"#
        ),
        (event(#"["poll"]"#, "{}", nonblocking: "false"), "blocking cases cannot be run"),
        (event(#"["poll"]"#, "{}", initial: "-1"), #""initial" must be"#),
        (event(#"["poll"]"#, "{}", semaphore: "0"), #""semaphore" must be true or false"#),
        (event(#"["poll"]"#, "{}"), "exactly the keys error, readable, writable"),
        (event(#"["poll", "1"]"#, "{}"), "takes no argument"),
        (event(#"["write"]"#, #"{"ret": 8}"#), "between quotation marks"),
        (event(#"["write", 1]"#, #"{"ret": 8}"#), "between quotation marks"),
        (event(#"["write", "+1"]"#, #"{"ret": 8}"#), "between quotation marks"),
        (event(#"["write", "18446744073709551616"]"#, #"{"ret": 8}"#), "between quotation marks"),
        (event(#"["write_short", "8"]"#, #"{"error": "EINVAL"}"#), "a number from 1 to 7"),
        (event(#"["write", "1"]"#, #"{"ret": 8, "value": "1"}"#), "exactly the keys ret; or error"),
        (event(#"["read"]"#, #"{"ret": 8, "value": 1}"#), #""value" of expectation 1"#),
        (event(#"["seek"]"#, "{}"), #"op 1 is "seek""#),
    ]

    @Test(arguments: malformed)
    func `a malformed file is one sentence and exit code 2`(file: String, sentence: String) throws {
        // A good file beside it: nothing is run or printed before everything is judged.
        try withFolder(["a.json": Self.counting(Self.good), "b.json": file]) { folder in
            let run = try quiesce("conformance", folder.path)
            expectRefused(run)
            #expect(
                run.errors.contains("b.json\"") && run.errors.contains(sentence), "\(run.errors)")
        }
    }

    @Test func `what cannot be read is one sentence and exit code 2`() throws {
        expectRefused(try quiesce("conformance"))
        expectRefused(try quiesce("conformance", ""))
        expectRefused(try quiesce("conformance", "/no/such/file.json"))
        expectRefused(try quiesce("conformance", "/dev/zero"))
        expectRefused(try quiesce("conformance", "/proc/self/mem"))
        expectRefused(try quiesce("conformance", "--wrong", given.path))
        try withFolder([:]) { folder in expectRefused(try quiesce("conformance", folder.path)) }
        try withFolder(["a.json": String(repeating: "[", count: 100_000)]) { folder in
            expectRefused(try quiesce("conformance", folder.path))
        }
    }

    private func expectRefused(_ run: CommandRun, location: SourceLocation = #_sourceLocation) {
        #expect(run.code == 2, sourceLocation: location)
        #expect(run.output.isEmpty, sourceLocation: location)
        let lines = run.errors.split(omittingEmptySubsequences: true, whereSeparator: \.isNewline)
        #expect(lines.count == 1, "\(run.errors)", sourceLocation: location)
        #expect(
            lines.first?.hasPrefix("quiesce: ") == true, "\(run.errors)", sourceLocation: location)
    }
}
