// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What must not compile does not, and the compiler says why.
@Suite struct RefusedTests {
    struct Snippet: CustomTestStringConvertible, Sendable {
        let name: String
        let code: String
        /// What the diagnostic must contain; nil for one that must compile.
        let diagnostic: String?

        var testDescription: String { name }
    }

    private static let preamble = """
        import Quiesce
        import Substrate
        struct Registers: Sendable { var status = 0 }
        final class Session: ReferenceCounted {
            let referenceCount = ReferenceCount()
            func release() {}
        }

        """

    static let snippets: [Snippet] = [
        Snippet(
            name: "what is meant to compile",
            code: """
                func use(_ gate: Gate, _ registers: Revocable<Registers>) async throws {
                    _ = gate.withEntry { entry in registers.withValue(in: entry) { $0.status } }
                    _ = gate.withOwnedEntry { entry in
                        _ = registers.withValue(in: entry) { $0.status }
                        entry.leave()
                    }
                    let reference = Reference(Session())
                    let other = reference.share()
                    other.drop()
                    try await gate.close()
                }
                """, diagnostic: nil),
        Snippet(
            name: "a value kept beyond its entry",
            code: """
                struct Mapping: ~Copyable, Sendable {}
                func keep(_ mapping: Revocable<Mapping>) {
                    var kept: Mapping?
                    _ = mapping.withValue { value in kept = consume value }
                    _ = kept
                }
                """, diagnostic: "'value' is borrowed and cannot be consumed"),
        Snippet(
            name: "an entry kept beyond its scope",
            code: """
                func keep(_ gate: Gate) {
                    var kept: Gate.Entry?
                    _ = gate.withEntry { entry in kept = consume entry }
                    _ = kept
                }
                """, diagnostic: "'entry' is borrowed and cannot be consumed"),
        Snippet(
            name: "an entry returned from its scope",
            code: """
                func keep(_ gate: Gate) {
                    let kept: Gate.Entry? = gate.withOwnedEntry { entry in entry }
                    _ = kept
                }
                """, diagnostic: "requires that 'Gate.Entry' conform to 'Escapable'"),
        Snippet(
            name: "an entry captured by a closure that outlives it",
            code: """
                func later(_ body: @escaping () -> Void) {}
                func start(_ gate: Gate) {
                    _ = gate.withOwnedEntry { entry in later { _ = entry.gate } }
                }
                """, diagnostic: "error:"),
        Snippet(
            name: "a borrowed entry that is ended",
            code: """
                func end(_ gate: Gate) {
                    _ = gate.withEntry { entry in entry.leave() }
                }
                """, diagnostic: "'entry' is borrowed and cannot be consumed"),
        Snippet(
            name: "an entry used after it was left",
            code: """
                func use(_ gate: Gate, _ registers: Revocable<Registers>) {
                    _ = gate.withOwnedEntry { entry in
                        entry.leave()
                        _ = registers.withValue(in: entry) { $0.status }
                    }
                }
                """, diagnostic: "'entry' used after consume"),
        Snippet(
            name: "a loser that goes on with its entry",
            code: """
                func use(_ gate: Gate, _ registers: Revocable<Registers>) throws {
                    _ = try gate.withOwnedEntry { entry in
                        if let winner = try entry.closeFromInside() { winner.leave() }
                        _ = registers.withValue(in: entry) { $0.status }
                    }
                }
                """, diagnostic: "'entry' used after consume"),
        Snippet(
            name: "a reference copied",
            code: """
                func copy(_ session: Session) {
                    let reference = Reference(session)
                    let copy = reference
                    reference.withObject { _ in }
                    copy.drop()
                }
                """, diagnostic: "'reference' used after consume"),
        Snippet(
            name: "a reference dropped twice",
            code: """
                func drop(_ session: Session) {
                    let reference = Reference(session)
                    reference.drop()
                    reference.drop()
                }
                """, diagnostic: "'reference' consumed more than once"),
        Snippet(
            name: "the blocking close in an async function",
            code: "func end(_ gate: Gate) async throws { try gate.close() }",
            diagnostic: "'async' but is not marked with 'await'"),
        Snippet(
            name: "the blocking detach in an async function",
            code: "func end(_ notifier: Notifier) async throws { try notifier.detach() }",
            diagnostic: "'async' but is not marked with 'await'"),
        Snippet(
            name: "a value that threads cannot share",
            code: """
                final class Unshared { var number = 0 }
                func make() -> Revocable<Unshared> { Revocable(Unshared()) }
                """, diagnostic: "Sendable"),
    ]

    @Test(arguments: snippets) func `the compiler decides`(_ snippet: Snippet) throws {
        let output = try compile(Self.preamble + snippet.code)
        if let diagnostic = snippet.diagnostic {
            #expect(output.contains(diagnostic), "\(output)")
        } else {
            #expect(output.isEmpty, "\(output)")
        }
    }

    /// Has the compiler that built this test judge `code` against the modules that it built;
    /// returns what it says.
    private func compile(_ code: String) throws -> String {
        let products = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "refused-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("Snippet.swift")
        try code.write(to: file, atomically: true, encoding: .utf8)
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()
            .deletingLastPathComponent()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "swiftc", "-emit-sil", "-o", "/dev/null", "-swift-version", "6", "-module-name",
            "Snippet",
            "-module-cache-path", folder.appendingPathComponent("cache").path,
            "-I", products.appendingPathComponent("Modules").path,
            "-Xcc",
            "-fmodule-map-file="
                + products.appendingPathComponent("CSubstrate.build/module.modulemap").path,
            "-Xcc", "-I" + package.appendingPathComponent("Sources/CSubstrate/include").path,
            file.path,
        ]
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: output, as: UTF8.self)
    }
}
