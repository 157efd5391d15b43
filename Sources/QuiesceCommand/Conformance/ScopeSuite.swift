// SPDX-License-Identifier: Apache-2.0

import Quiesce
import QuiesceStories
import Synchronization

/// Runs `devres.*`: which resources Linux's devres releases, and in what order, on scopes of both
/// kinds.
///
/// An action and a group are known by their numbers, and an operation means the one that was added
/// last of those that have the number. Linux warns where one is not there; a scope says so by what
/// it returns.
enum ScopeSuite: ConformanceSuite {
    static let prefix = "devres."

    /// The group that was opened last, for operations on groups.
    private static let latest: Int32 = -1

    private enum Operation: String {
        case add, remove, release, count
        case open, close
        case removeGroup = "remove_group"
        case releaseGroup = "release_group"
        case releaseAll = "release_all"

        /// Which numbers it takes.
        var range: ClosedRange<Int32> {
            switch self {
            case .add, .remove, .release, .open: 0...Int32.max
            case .close, .removeGroup, .releaseGroup: latest...Int32.max
            case .count, .releaseAll: 0...0
            }
        }
    }

    static func prepare(_ testCase: ConformanceCase) throws -> () throws -> Mismatch? {
        let steps = try testCase.steps().map { step in
            guard let operation = Operation(rawValue: step.name) else { throw step.unknown }
            let argument = try step.integer(
                in: operation.range, absent: operation.range.count == 1 ? 0 : nil)
            try step.requireExpectation([["ret": .int32, "released": .int32s, "warn": .int32]])
            return (step: step, operation: operation, argument: argument)
        }
        return {
            if let mismatch = try run(
                steps, on: BindingScope(name: "binding"), called: "BindingScope")
            {
                return mismatch
            }
            return try run(steps, on: ObjectScope(name: "object"), called: "ObjectScope")
        }
    }

    private static func run<Lifetime>(
        _ steps: [(step: ConformanceStep, operation: Operation, argument: Int32)],
        on scope: ResourceScope<Lifetime>, called name: String
    ) throws -> Mismatch? {
        let released = Mutex<[Int32]>([])
        for (step, operation, argument) in steps {
            let answer = try answer(scope, operation, argument) { number in
                released.withLock { $0.append(number) }
            }
            let found: [String: ConformanceValue] = [
                "ret": .integer(Int32(clamping: answer ?? 0)),
                "released": .integers(
                    released.withLock { numbers in
                        defer { numbers = [] }
                        return numbers
                    }),
                "warn": .integer(answer == nil ? 1 : 0),
            ]
            if found != step.expected { return Mismatch(step, on: name, found: found) }
        }
        return nil
    }

    /// What an operation returns; nil where Linux warns.
    private static func answer<Lifetime>(
        _ scope: ResourceScope<Lifetime>, _ operation: Operation, _ argument: Int32,
        _ release: @escaping @Sendable (Int32) -> Void
    ) throws -> Int? {
        func resource() -> ResourceID? { scope.resource(named: "\(argument)") }
        // A number that no group has is not the latest group's.
        func withGroup<Result>(_ body: (ResourceGroupID?) throws -> Result?) rethrows -> Result? {
            if argument == latest { return try body(nil) }
            return try scope.group(named: "\(argument)").flatMap { try body($0) }
        }
        switch operation {
        case .add:
            try scope.add("\(argument)") { release(argument) }
            return 0
        case .remove: return resource().map { scope.remove($0) } == true ? 0 : nil
        case .release: return try resource().map { try scope.release($0) } == true ? 0 : nil
        case .open:
            _ = scope.openGroup("\(argument)")
            return 0
        case .close: return withGroup { scope.closeGroup($0) } == true ? 0 : nil
        case .removeGroup: return withGroup { scope.removeGroup($0) } == true ? 0 : nil
        case .releaseGroup:
            // Linux takes it that a device with nothing left is being released.
            if scope.isEmpty { return 0 }
            return try withGroup { try scope.releaseGroup($0) }
        case .releaseAll: return try scope.releaseAll()
        case .count: return scope.count
        }
    }
}
