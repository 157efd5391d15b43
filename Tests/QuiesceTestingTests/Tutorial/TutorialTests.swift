// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Testing

@Suite struct TutorialTests {
    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    private static func folder(_ levels: Int) -> String {
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(levels).joined(
            separator: "/")
    }

    /// What stands between `// NAME` and `// end` in a file beside this one.
    private static func part(_ name: String, of file: String) throws -> String {
        let lines = try text(folder(1) + "/" + file).split(
            separator: "\n", omittingEmptySubsequences: false)
        let rest = lines.drop { $0 != "// \(name)" }.dropFirst().prefix { $0 != "// end" }
        return rest.joined(separator: "\n") + "\n"
    }

    @Test(arguments: [
        ("tutorial-account", "Account.swift"), ("tutorial-repaired", "Account.swift"),
        ("tutorial-explored", "AccountTests.swift"),
    ])
    func `the tutorial shows what is compiled here`(_ name: String, _ file: String) throws {
        // A reader's account is in a module of its own.
        let shown = try Self.text(
            Self.folder(4) + "/Sources/QuiesceTesting/Documentation.docc/Resources/\(name).swift"
        ).replacing("@testable import Bank\n\n", with: "")
        let compiled = try Self.part(name, of: file).replacing("RepairedAccount", with: "Account")
        #expect(compiled.count > 100 && shown.hasSuffix(compiled))
    }
}
