// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

@main
struct MutateExplorer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutate-explorer",
        abstract: "Breaks one rule of the explorer at a time, and checks that its tests notice.",
        discussion: """
            Works on a copy of the package, whose first build takes some minutes. Exit code 1: a mutant survived that is not known \
            to be equivalent.
            """)

    @Option(
        help:
            "How many mutants, picked at random among those that are not equivalent; all by default."
    )
    var count: Int?
    @Option(help: "What picks them; another of these is made where none is given.") var seed:
        UInt64?
    @Option(help: "Only mutants whose names contain this; may be given several times.")
    var only: [String] = []
    @Option(help: "Only every n-th: 1/2 for the first, third and so on, 2/2 for the others.")
    var part: String?
    @Flag(help: "Change the files of the package itself, and put them back.") var inPlace = false
    @Flag(help: "Print the mutants that would be run, and stop.") var list = false
    @Flag(help: "Only look whether each mutant compiles.") var compile = false

    func run() throws {
        var mutants = Mutant.all.filter { mutant in
            only.isEmpty || only.contains { mutant.name.contains($0) }
        }
        if let part {
            let numbers = part.split(separator: "/").compactMap { Int($0) }
            guard numbers.count == 2, numbers[1] > 0, (1...numbers[1]).contains(numbers[0]) else {
                throw ValidationError("a part is written like 1/2")
            }
            mutants = mutants.enumerated().filter { $0.offset % numbers[1] == numbers[0] - 1 }.map(
                \.element)
        }
        let seed = self.seed ?? UInt64.random(in: 0..<1_000_000)
        if let count {
            print("seed \(seed)")
            var generator = Generator(state: seed)
            mutants = Array(
                mutants.filter { $0.equivalent == nil }.shuffled(using: &generator).prefix(count))
        }
        if list {
            for mutant in mutants {
                _ = try mutant.applied(in: FileManager.default.currentDirectoryPath)
                print(
                    "\(mutant.name) (\(mutant.file))\(mutant.equivalent.map { ": equivalent, \($0)" } ?? "")"
                )
            }
            return
        }
        let root = try inPlace ? FileManager.default.currentDirectoryPath : copy()
        defer { if !inPlace { try? FileManager.default.removeItem(atPath: root) } }
        for mutant in mutants { _ = try mutant.applied(in: root) }
        guard try Mutant.builds(in: root) else {
            throw ValidationError("the package does not build; see \(logFile)")
        }
        if compile { return try compile(mutants, in: root) }
        var survivors: [String] = []
        for (number, mutant) in mutants.enumerated() {
            let caught: String?
            do { caught = try mutant.isCaught(in: root) } catch {
                print("\(number + 1)/\(mutants.count) \(error)")
                survivors.append("\(error)")
                continue
            }
            let verdict =
                caught.map { "caught (\($0))" } ?? mutant.equivalent.map { "equivalent: \($0)" }
                ?? "SURVIVES"
            print("\(number + 1)/\(mutants.count) \(mutant.name): \(verdict)")
            fflush(nil)
            if caught == nil, mutant.equivalent == nil { survivors.append(mutant.name) }
            if caught != nil, mutant.equivalent != nil {
                survivors.append("\(mutant.name) is not equivalent")
            }
        }
        print("\(mutants.count) mutants, \(survivors.count) not as they should be")
        for survivor in survivors { print("  \(survivor)") }
        if !survivors.isEmpty { throw ExitCode.failure }
    }

    private func compile(_ mutants: [Mutant], in root: String) throws {
        var failures = 0
        for (number, mutant) in mutants.enumerated() {
            let compiles = try mutant.compiles(in: root)
            print(
                "\(number + 1)/\(mutants.count) \(mutant.name): \(compiles ? "compiles" : "FAILS")")
            fflush(nil)
            if !compiles { failures += 1 }
        }
        print("\(mutants.count) mutants, \(failures) do not compile")
        if failures > 0 { throw ExitCode.failure }
    }

    /// A copy of what git knows of, so that nothing of the package itself changes.
    private func copy() throws -> String {
        // Written as processes are listed, which are looked for by it.
        let temporary = NSString(string: NSTemporaryDirectory()).standardizingPath
        let folder = temporary + "/mutants-\(ProcessInfo.processInfo.processIdentifier)/quiesce"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let code = try shell(
            "git ls-files -z | xargs -0 cp --parents -t '\(folder)'",
            in: FileManager.default.currentDirectoryPath)
        guard code == 0 else {
            throw ValidationError("run it where the package is, in a checkout with git")
        }
        return folder
    }

    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) | (state << 31)
        }
    }
}

/// Where the output of the last command is.
let logFile =
    NSTemporaryDirectory() + "/mutate-explorer-\(ProcessInfo.processInfo.processIdentifier).log"

/// Runs a command and returns its exit code.
func shell(_ command: String, in folder: String) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "(\(command)) > '\(logFile)' 2>&1"]
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
}

/// One rule of the explorer or of the library, broken.
struct Mutant {
    var name: String
    var file: String
    var original: String
    var changed: String
    /// Why nothing can notice, where that is so.
    var equivalent: String?

    init(
        _ name: String, _ file: String, _ original: String, _ changed: String,
        equivalent: String? = nil
    ) {
        self.name = name
        self.file = file
        self.original = original
        self.changed = changed
        self.equivalent = equivalent
    }

    /// Optimised, though with all that tests reach into: explorations take a tenth of the time.
    private static let optimised = "-Xswiftc -O"

    /// The tests that are asked about a rule of the library.
    private static let stagesOfLibrary = [
        "ResourceScopeTests|ManagedObjectTests|RevocableRules|ConformanceTests"
    ]

    /// The tests that are asked about a rule of the device model.
    private static let stagesOfDeviceModel = [
        "DeviceTests|FileTests|DevmDeviceRules|DrmmDeviceRules|CharacterDeviceRules|DeviceLinkRules|ProviderRules"
    ]

    /// The tests that are asked about a rule of the explorer, the quickest first.
    private static let stages = [
        "CommutationTests|OracleTests|SemaphoreTests|TaskOrderTests|JobCaptureTests",
        "FuzzTests", "TruthTests", "SearchTests",
        "SharedLockTests|FamilyTests|VerdictTests|RandomProgramTests|TaskTests|MutationTests|ReplayTests|EndingTests|LimitTests",
        "GranularityTests|AsyncWaitTests|WorkQueueTests",
    ]

    private var stages: [String] {
        if isOfDeviceModel { return Self.stagesOfDeviceModel }
        return isOfLibrary ? Self.stagesOfLibrary : Self.stages
    }

    /// Whether its file is named from the folder of a library on, not from the explorer's.
    private var isOfLibrary: Bool { file.hasPrefix("Quiesce/") || isOfDeviceModel }
    private var isOfDeviceModel: Bool { file.hasPrefix("DeviceModel/") }

    private func path(in root: String) -> String {
        "\(root)/Sources/\(isOfLibrary ? file : "Explorer/" + file)"
    }

    /// The file with the rule broken. The rule must stand there exactly once; line breaks do not
    /// count.
    func applied(in root: String) throws -> String {
        let text = Array(try String(contentsOfFile: path(in: root), encoding: .utf8))
        let places = text.indices.filter { !text[$0].isWhitespace }
        let letters = places.map { text[$0] }
        let rule = original.filter { !$0.isWhitespace }
        let found = letters.ranges(of: Array(rule))
        guard found.count == 1 else {
            throw ValidationError(
                "\(name): \(file) has its rule \(found.count) times; bring the mutant up to date")
        }
        let (first, last) = (places[found[0].lowerBound], places[found[0].upperBound - 1])
        return String(text[..<first]) + " " + changed + " " + String(text[(last + 1)...])
    }

    static func builds(in root: String) throws -> Bool {
        try shell("timeout 900 swift build --build-tests \(optimised)", in: root) == 0
    }

    /// Does `body` while the rule is broken.
    private func whileBroken<Result>(
        in root: String, _ body: () throws -> Result
    ) throws -> Result {
        let before = try String(contentsOfFile: path(in: root), encoding: .utf8)
        try applied(in: root).write(toFile: path(in: root), atomically: true, encoding: .utf8)
        defer { try? before.write(toFile: path(in: root), atomically: true, encoding: .utf8) }
        return try body()
    }

    func compiles(in root: String) throws -> Bool {
        try whileBroken(in: root) {
            let target = isOfLibrary ? String(file.prefix { $0 != "/" }) : "Explorer"
            return try shell("swift build --target \(target) \(Self.optimised)", in: root) == 0
        }
    }

    /// What notices; nil when nothing does.
    func isCaught(in root: String) throws -> String? {
        try whileBroken(in: root) { try notices(in: root) }
    }

    private func notices(in root: String) throws -> String? {
        guard try Self.builds(in: root) else {
            throw ValidationError("\(name) does not compile; see \(logFile)")
        }
        for stage in stages {
            // What has no end outlives the command that started it.
            let code = try shell(
                "timeout --kill-after 10 400 swift test --skip-build \(Self.optimised) --filter '\(stage)'; "
                    + "code=$?; pkill -KILL -f '\(root)/[.]build/.*xctest'; exit $code",
                in: root)
            if code != 0 {
                return stage.split(separator: "|")[0] + (code == 124 ? "…, no end" : "…")
            }
        }
        return nil
    }
}
