// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#elseif canImport(Darwin)
    import Darwin
#endif

/// The token of a test's last failure, in a file of its own: it runs first the next time.
///
/// The folder keeps itself out of version control. Where it cannot be written, nothing is kept.
package struct KeptFailure: Sendable {
    private let folder: String
    private let identity: String

    /// The failure of the test with this identity. The folder is `.quiesce` in the current one,
    /// unless the environment's `QUIESCE_KEPT` names another; nothing is kept where that is empty.
    package init(of identity: String, in folder: String? = nil) {
        let named = unsafe getenv("QUIESCE_KEPT").map { unsafe String(cString: $0) }
        self.folder = folder ?? named ?? ".quiesce"
        self.identity = identity
    }

    /// How a kept failure ended when it ran again.
    package enum Outcome: Sendable {
        case failsAgain(Counterexample)
        case passesNow
        /// The program took other steps than the token says, or the token cannot be read.
        case noLongerFits(String)

        /// What a person is told.
        package var sentence: String {
            switch self {
            case .failsAgain: "the kept failure fails again"
            case .passesNow: "the kept failure passes now, and is dropped"
            case .noLongerFits(let reason):
                "the kept failure no longer fits the program, and is dropped: \(reason)"
            }
        }
    }

    /// Runs the kept failure, if there is one. It is dropped unless it fails again.
    package func replay(_ exploration: Exploration) throws -> Outcome? {
        guard let text = read() else { return nil }
        let outcome: Outcome
        do {
            let isMinimal = text.hasSuffix(Self.minimalMark)
            let token = try ReplayToken(
                isMinimal ? String(text.dropLast(Self.minimalMark.count)) : text)
            if var counterexample = try exploration.replay(token) {
                counterexample.trace.isMinimal = isMinimal
                outcome = .failsAgain(counterexample)
            } else {
                outcome = .passesNow
            }
        } catch let error as ReplayToken.ParseError {
            outcome = .noLongerFits("\(error)")
        } catch let error as Exploration.Failure {
            guard case .diverged = error else { throw error }
            outcome = .noLongerFits("\(error)")
        }
        if case .failsAgain = outcome { return outcome }
        drop()
        return outcome
    }

    // MARK: The file

    private var path: String {
        // Any file system takes these characters. Two tests may have the same ones; the hash differs.
        let name = identity.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }.suffix(60)
        var hash = FNV1a()
        for byte in identity.utf8 { hash.add(UInt64(byte)) }
        return "\(folder)/\(String(name))-\(String(hash.value, radix: 16)).token"
    }

    /// What stands behind the token of a schedule with the fewest possible preemptions.
    private static let minimalMark = " fewest preemptions"

    package func keep(_ failure: Counterexample) {
        guard !folder.isEmpty else { return }
        // A folder that was there before is somebody else's to ignore.
        if unsafe mkdir(folder, 0o777) == 0 { write("*\n", to: "\(folder)/.gitignore") }
        write("\(failure.token)\(failure.trace.isMinimal ? Self.minimalMark : "")\n", to: path)
    }

    package func drop() {
        guard !folder.isEmpty else { return }
        unsafe unlink(path)
    }

    private func write(_ text: String, to path: String) {
        guard let file = unsafe fopen(path, "w") else { return }
        unsafe fputs(text, file)
        unsafe fclose(file)
    }

    private func read() -> String? {
        guard !folder.isEmpty, let file = unsafe fopen(path, "r") else { return nil }
        defer { unsafe fclose(file) }
        var text: [UInt8] = []
        while case let byte = unsafe fgetc(file), byte != EOF, byte != 10, text.count < 1 << 22 {
            text.append(UInt8(truncatingIfNeeded: byte))
        }
        return String(decoding: text, as: UTF8.self)
    }
}
