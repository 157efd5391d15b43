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
        final class Account { var balance = 0 }
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
            name: "values of both kinds of scopes",
            code: """
                struct Mapping: ~Copyable, Sendable { let status = 0 }
                func probe(_ binding: BindingScope, _ object: ObjectScope) throws -> Int? {
                    let mapping = try binding.acquire("registers") { Mapping() }
                    let state = try object.allocate("state") { Session() }
                    _ = state
                    return mapping.withValue { $0.status }
                }
                """, diagnostic: nil),
        Snippet(
            name: "memory allocated in the scope of a binding",
            code: """
                func probe(_ binding: BindingScope) -> Session {
                    binding.allocate("state") { Session() }
                }
                """, diagnostic: "memory of a binding is gone at unbind"),
        Snippet(
            name: "a resource acquired in the scope of an object",
            code: """
                func probe(_ object: ObjectScope) -> Registers {
                    object.acquire("registers") { Registers() }
                }
                """, diagnostic: "what is acquired is given back at unbind"),
        Snippet(
            name: "a value of a binding kept as a plain one",
            code: """
                final class File { var registers = Registers() }
                func open(_ file: File, _ binding: BindingScope) throws {
                    file.registers = try binding.acquire("registers") { Registers() }
                }
                """,
            diagnostic: "cannot assign value of type 'Revocable<Registers>' to type 'Registers'"),
        Snippet(
            name: "a value of a binding kept beyond its access",
            code: """
                struct Mapping: ~Copyable, Sendable {}
                func keep(_ binding: BindingScope) throws {
                    let mapping = try binding.acquire("registers") { Mapping() }
                    var kept: Mapping?
                    _ = mapping.withValue { value in kept = consume value }
                    _ = kept
                }
                """, diagnostic: "'value' is borrowed and cannot be consumed"),
        Snippet(
            name: "a scope of one kind for the other",
            code: """
                func end(_ scope: ObjectScope) {}
                func unbind(_ binding: BindingScope) { end(binding) }
                """, diagnostic: "cannot convert value of type"),
        Snippet(
            name: "the blocking end of a scope in an async function",
            code: "func end(_ scope: BindingScope) async throws { try scope.close() }",
            diagnostic: "'async' but is not marked with 'await'"),
        Snippet(
            name: "the blocking close in an async function",
            code: "func end(_ gate: Gate) async throws { try gate.close() }",
            diagnostic: "'async' but is not marked with 'await'"),
        Snippet(
            name: "the blocking detach in an async function",
            code: "func end(_ notifier: Subscription) async throws { try notifier.close() }",
            diagnostic: "'async' but is not marked with 'await'"),
        Snippet(
            name: "a value that threads cannot share",
            code: """
                final class Unshared { var number = 0 }
                func make() -> Revocable<Unshared> { Revocable(Unshared()) }
                """, diagnostic: "Sendable"),
    ]

    /// What protects a value, and lends it where it may be used.
    private static let lending: [Snippet] = [
        Snippet(
            name: "values that stay where they are protected",
            code: """
                final class Bank: Sendable {
                    let accounts = Mutex([Account()])
                    let names = RWLock(["a": 1])
                    let registers = RWLock(Registers(), preferring: .readers)
                    let own = ThreadLocal(Account())
                    let last = Unsynchronized("")
                    let place = Storage.allocate(Registers())
                    let isFilled = Condition()

                    func use() -> (Int, Account) {
                        names.withWriteLock { $0["b"] = 2 }
                        let account = Account()
                        let first = accounts.withLock(waitingFor: isFilled, while: { $0.isEmpty }) {
                            let first = Account()
                            first.balance = $0.removeFirst().balance
                            return first
                        }
                        own.withValue { $0.balance += first.balance }
                        account.balance = own.withValue { $0.balance }
                        last.store("used")
                        return (names.withReadLock { $0.count } + place.read().status, account)
                    }
                }
                func alone() -> Int {
                    let memory = Unsynchronized(Account())
                    memory.withValue { $0.balance += 1 }
                    let place = Storage.allocate([Account()])
                    return memory.load().balance + place.read().count
                }
                """, diagnostic: nil),
        Snippet(
            name: "a class that only a reader-writer lock protects",
            code: """
                func use() async {
                    let lock = RWLock(Account())
                    await withTaskGroup(of: Void.self) { group in
                        for index in 0..<4 {
                            group.addTask { lock.withReadLock { $0.balance += index } }
                        }
                    }
                }
                """, diagnostic: "type 'Account' does not conform to the 'Sendable' protocol"),
        Snippet(
            name: "a class inside of what a reader-writer lock protects",
            code: "struct Bank: ~Copyable { let accounts: RWLock<[String: Account]> }",
            diagnostic: "type 'Account' does not conform to the 'Sendable' protocol"),
        Snippet(
            name: "a noncopyable value that threads cannot share, in a reader-writer lock",
            code: """
                struct Purse: ~Copyable { let account = Account() }
                func use(_ lock: borrowing RWLock<Purse>) {}
                """, diagnostic: "type 'Purse' does not conform to the 'Sendable' protocol"),
        Snippet(
            name: "a value that leaves its mutex",
            code: """
                func take(_ lock: borrowing Mutex<Account>) -> Account? {
                    var kept: Account?
                    lock.withLock { kept = $0 }
                    return kept
                }
                """, diagnostic: "'inout sending' parameter '$0' cannot be task-isolated"),
        Snippet(
            name: "a value that leaves its mutex after a wait",
            code: """
                func take(_ lock: borrowing Mutex<Account>, _ condition: borrowing Condition)
                    -> Account?
                {
                    var kept: Account?
                    lock.withLock(waitingFor: condition, while: { $0.balance == 0 }) { kept = $0 }
                    return kept
                }
                """, diagnostic: "'inout sending' parameter '$0' cannot be task-isolated"),
        Snippet(
            name: "a value that leaves its mutex by the predicate of a wait",
            code: """
                func take(_ lock: borrowing Mutex<Account>, _ condition: borrowing Condition)
                    -> Account?
                {
                    var kept: Account?
                    lock.withLock(
                        waitingFor: condition,
                        while: {
                            kept = $0
                            return false
                        }) { _ in }
                    return kept
                }
                """, diagnostic: "'inout sending' parameter '$0' cannot be task-isolated"),
        Snippet(
            name: "a value that others keep, put behind a mutex after a wait",
            code: """
                func put(
                    _ account: Account, _ lock: borrowing Mutex<Account>,
                    _ condition: borrowing Condition
                ) {
                    lock.withLock(waitingFor: condition, while: { $0.balance == 0 }) {
                        $0 = account
                    }
                }
                """, diagnostic: "'inout sending' parameter '$0' cannot be task-isolated"),
        Snippet(
            name: "a value that leaves its thread",
            code: """
                func take(_ own: ThreadLocal<Account>) -> Account? {
                    var kept: Account?
                    own.withValue { kept = $0 }
                    return kept
                }
                """, diagnostic: "'inout sending' parameter '$0' cannot be task-isolated"),
        Snippet(
            name: "a value that others keep, put into a thread's variable",
            code: """
                func put(_ account: Account, _ own: ThreadLocal<[Account]>) {
                    own.withValue { $0.append(account) }
                }
                """, diagnostic: "'inout sending' parameter '$0' cannot be task-isolated"),
        Snippet(
            name: "plain memory that threads share, of a value that they cannot share",
            code: """
                struct Bank: ~Copyable, Sendable { let account: Unsynchronized<Account> }
                """, diagnostic: "contains non-Sendable type 'Account'"),
        Snippet(
            name: "a pointer that threads share, to a value that they cannot share",
            code: "struct Bank: Sendable { let account: Storage<Account> }",
            diagnostic: "contains non-Sendable type 'Account'"),
    ]

    @Test(arguments: lending) func `what lends a value keeps it`(_ snippet: Snippet) throws {
        try check(snippet)
    }

    /// A body that returns the value itself is let through by the compilers of Swift 6.3, for the
    /// standard library's lock as for ours.
    @Test func `a body can return the value exactly where the standard lock lets it`() throws {
        func output(_ module: String) throws -> String {
            try compile(
                """
                import \(module)
                final class Account { var balance = 0 }
                func take(_ lock: borrowing Mutex<Account>) -> Account { lock.withLock { $0 } }
                """)
        }
        #expect(try output("Substrate").isEmpty == output("Synchronization").isEmpty)
    }

    @Test(arguments: snippets) func `the compiler decides`(_ snippet: Snippet) throws {
        try check(snippet)
    }

    private func check(_ snippet: Snippet) throws {
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
