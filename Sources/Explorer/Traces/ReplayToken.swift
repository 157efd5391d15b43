// SPDX-License-Identifier: Apache-2.0

/// A schedule in a form that a person can pass on: which test it belongs to, what runs when, and a
/// check of both.
///
/// `1f0c93a2:0x2,1,2x4.1,1f:9be1` says that thread 0 takes two steps, 1 one, 2 four (in the last of
/// which it wakes thread 1), and that 1's store buffer is flushed once.
public struct ReplayToken: Sendable, Equatable, CustomStringConvertible {
    let identity: UInt32
    let steps: [ScheduleStep]

    init(test: String, steps: [ScheduleStep]) {
        identity = ReplayToken.hash(test)
        self.steps = steps
    }

    /// Whether the token was made for the test of this name.
    public func belongs(to test: String) -> Bool { identity == ReplayToken.hash(test) }

    /// Why a text is not a token.
    public enum ParseError: Error, CustomStringConvertible {
        case malformed, truncated

        public var description: String {
            switch self {
            case .malformed:
                "the replay token is malformed; a token looks like 1f0c93a2:0x2,1,2x4:9be1"
            case .truncated:
                "the replay token is damaged or incomplete: its check digits do not match"
            }
        }
    }

    /// Reads a token.
    public init(_ text: String) throws(ParseError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count == 8, let identity = UInt32(parts[0], radix: 16)
        else {
            throw parts.count == 2 || (parts.count == 3 && parts[2].count < 4)
                ? .truncated : .malformed
        }
        guard parts[2].count == 4, let check = UInt32(parts[2], radix: 16) else { throw .truncated }
        guard ReplayToken.hash("\(parts[0]):\(parts[1])") & 0xffff == check else {
            throw .truncated
        }
        self.identity = identity
        var steps: [ScheduleStep] = []
        for run in parts[1].split(separator: ",") {
            guard let (step, count) = ReplayToken.parse(run), count <= 1_000_000 - steps.count
            else { throw .malformed }
            steps.append(
                contentsOf: repeatElement(
                    ScheduleStep(thread: step.thread, isFlush: step.isFlush), count: count - 1))
            steps.append(step)
        }
        self.steps = steps
    }

    /// A run: the thread, `x` and a count where it is not 1, `f` for a flush, `.` and a choice that
    /// its last step makes.
    private static func parse(_ run: Substring) -> (ScheduleStep, Int)? {
        var rest = run
        func number() -> Int? {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            return Int(digits)
        }
        guard let thread = number(), thread < 0x7fff else { return nil }
        var step = ScheduleStep(thread: thread)
        var count = 1
        if rest.first == "f" {
            step.isFlush = true
            rest.removeFirst()
        }
        if rest.first == "x" {
            rest.removeFirst()
            guard let times = number(), times > 0 else { return nil }
            count = times
        }
        if rest.first == "." {
            rest.removeFirst()
            guard let choice = number(), choice < 0x7fff else { return nil }
            step.choice = choice
        }
        return rest.isEmpty ? (step, count) : nil
    }

    public var description: String {
        var runs: [String] = []
        var index = 0
        while index < steps.count {
            let first = steps[index]
            var last = first
            var count = 1
            // A choice ends its run.
            while last.choice < 0, index + count < steps.count,
                steps[index + count].thread == first.thread,
                steps[index + count].isFlush == first.isFlush
            {
                last = steps[index + count]
                count += 1
            }
            var run = "\(first.thread)" + (first.isFlush ? "f" : "")
            if count > 1 { run += "x\(count)" }
            if last.choice >= 0 { run += ".\(last.choice)" }
            runs.append(run)
            index += count
        }
        let text = ReplayToken.hex(identity, 8) + ":" + runs.joined(separator: ",")
        return text + ":" + ReplayToken.hex(ReplayToken.hash(text) & 0xffff, 4)
    }

    private static func hex(_ number: UInt32, _ digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// FNV-1a: the same in every process.
    private static func hash(_ text: String) -> UInt32 {
        text.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
    }
}
