// SPDX-License-Identifier: Apache-2.0

import Foundation
import QuiesceStories

/// A file of conformance cases: the name of its suite, and the cases.
///
/// The shape is `{"suite", "cases": [{"id", "ops": [[name, argument?]], "expect": [{…}]}]}`. Other
/// keys tell where the cases are from, or are for the suite's runner.
struct ConformanceFile {
    let path: String
    let suite: String
    private let cases: [Lenient<ConformanceCase>]

    /// What the file says.
    private struct Content: Decodable {
        @Lenient var suite: String?
        @Lenient var cases: [Lenient<ConformanceCase>]?
    }

    /// More than any file of cases has, so that a device or an endless pipe is refused and not read
    /// for ever.
    private static let byteLimit = 64 << 20

    /// Reads the file as far as its suite's name; the cases are judged by `prepared`.
    init(reading path: String) throws {
        self.path = path
        let shown = path.shown(.max)
        guard FileManager.default.fileExists(atPath: path) else {
            throw BadInput("there is no file or folder \"\(shown)\"")
        }
        let data: Data
        do {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            data = try file.read(upToCount: Self.byteLimit + 1) ?? Data()
        } catch { throw BadInput("\"\(shown)\" cannot be read") }
        guard data.count <= Self.byteLimit else {
            throw BadInput("\"\(shown)\" is longer than \(Self.byteLimit) bytes")
        }
        guard let content = try? JSONDecoder().decode(Lenient<Content>.self, from: data) else {
            throw BadInput("\"\(shown)\" is not JSON")
        }
        guard let content = content.wrappedValue, let suite = content.suite else {
            throw BadInput("\"\(shown)\" is no file of conformance cases: it names no suite")
        }
        self.suite = suite
        cases = content.cases ?? []
    }

    /// Judges every case before any is run.
    func prepared(by runner: any ConformanceSuite.Type) throws -> PreparedSuite {
        let place = "\"\(path.shown(.max))\""
        guard !cases.isEmpty else { throw BadInput("\(place) has no cases") }
        var known: Set<String> = []
        let prepared = try cases.enumerated().map { index, value in
            guard let testCase = value.wrappedValue else {
                throw BadInput("\(place), case \(index + 1): it is no object")
            }
            guard let id = testCase.id, !id.isEmpty else {
                throw BadInput("\(place), case \(index + 1): it has no id")
            }
            guard known.insert(id).inserted else {
                throw BadInput("\(place), case \(id.quoted): the id is there twice")
            }
            do {
                return (id: id, run: try runner.prepare(testCase))
            } catch let error as BadInput {
                throw BadInput("\(place), case \(id.quoted): \(error)")
            }
        }
        return PreparedSuite(name: suite, cases: prepared)
    }
}

extension ConformanceFile {
    /// Reads what the user named: files, and the files of folders; those that nothing runs are
    /// refused or skipped.
    static func prepared(_ paths: [String]) throws -> (suites: [PreparedSuite], skipped: [String]) {
        var suites: [PreparedSuite] = []
        var skipped: [String] = []
        for path in paths {
            let inside = try files(inFolder: path)
            for path in inside ?? [path] {
                let file = try ConformanceFile(reading: path)
                if let runner = ConformanceSuites.runner(of: file.suite) {
                    suites.append(try file.prepared(by: runner))
                } else if inside != nil {
                    skipped.append(
                        "\"\(path.shown(.max))\": nothing runs the suite \(file.suite.quoted)")
                } else {
                    throw BadInput(
                        "\"\(path.shown(.max))\" has the suite \(file.suite.quoted), which nothing runs; "
                            + "\(ConformanceSuites.names) can be run")
                }
            }
        }
        guard !suites.isEmpty else {
            throw BadInput("there is nothing to run; \(ConformanceSuites.names) can be run")
        }
        return (suites, skipped)
    }

    /// The files of a folder that may have cases, in the order of their names; nil when it is no
    /// folder.
    private static func files(inFolder path: String) throws -> [String]? {
        var isFolder: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder),
            isFolder.boolValue
        else {
            return nil
        }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw BadInput("the folder \"\(path.shown(.max))\" cannot be read")
        }
        let folder = path.hasSuffix("/") ? path : path + "/"
        let files = names.filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }.sorted().map {
            folder + $0
        }
        .filter { file in
            var isFolder: ObjCBool = false
            return unsafe !FileManager.default.fileExists(atPath: file, isDirectory: &isFolder)
                || !isFolder.boolValue
        }
        guard !files.isEmpty else {
            throw BadInput("the folder \"\(path.shown(.max))\" has no *.json files")
        }
        return files
    }
}
