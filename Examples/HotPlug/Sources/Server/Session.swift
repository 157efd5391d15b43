// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Quiesce

/// What one client has open, and what its lines do. What is open when it ends is closed then.
///
/// A line is a word and its arguments; the answer is a line that begins with `ok` or `error`.
struct Session {
    /// Why a line was not understood.
    struct Misunderstanding: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static let help =
        "list | plug NAME | unplug NAME | open NAME | exclusive NAME | read FILE COUNT | write FILE TEXT | count FILE | poll FILE | close FILE"

    private let hub: Hub
    private var files: [Int: OpenFile<Loopback>] = [:]
    private var lastNumber = 0

    init(_ hub: Hub) { self.hub = hub }

    /// Answers a line.
    ///
    /// - Throws: `CancellationError` alone: everything else is an answer.
    mutating func answer(_ line: String) async throws -> String {
        do {
            let result = try await carryOut(line)
            return result.isEmpty ? "ok" : "ok \(result)"
        } catch let error as CancellationError { throw error } catch { return "error \(error)" }
    }

    private mutating func carryOut(_ line: String) async throws -> String {
        let words = line.split(separator: " ", maxSplits: 2).map(String.init)
        switch (words.first, words.count) {
        case ("help", 1): return Self.help
        case ("list", 1): return hub.directory.names.joined(separator: " ")
        case ("plug", 2):
            try await hub.plug(words[1])
            return ""
        case ("unplug", 2):
            try await hub.unplug(words[1])
            return ""
        case ("open", 2): return keep(try hub.directory.openNow(words[1]))
        case ("exclusive", 2): return keep(try hub.directory.openNow(words[1], .exclusive))
        case ("read", 3):
            guard let count = Int(words[2]), count > 0 else {
                throw Misunderstanding("\(words[2]) is no number of bytes")
            }
            return String(decoding: try await file(words[1]).read(count), as: UTF8.self)
        case ("write", 3):
            return "\(try await file(words[1]).write(Array(words[2].utf8)))"
        case ("count", 2): return "\(try await file(words[1]).control(.count))"
        case ("poll", 2):
            let ready = try await file(words[1]).poll(.readable)
            return ready.contains(.hangUp) ? "hang-up" : "readable"
        case ("close", 2):
            let file = try file(words[1])
            files[Int(words[1]) ?? 0] = nil
            try await file.close()
            return ""
        default: throw Misunderstanding("what is \"\(line)\"? Say one of: \(Self.help)")
        }
    }

    private mutating func keep(_ file: OpenFile<Loopback>) -> String {
        lastNumber += 1
        files[lastNumber] = file
        return "\(lastNumber)"
    }

    private func file(_ word: String) throws -> OpenFile<Loopback> {
        guard let number = Int(word), let file = files[number] else {
            throw Misunderstanding("file \(word) is not open")
        }
        return file
    }
}
