// SPDX-License-Identifier: Apache-2.0

import Cases
import Glibc

/// Compares our operations with their peers' in one run: `Ratios [ROUNDS]`, about a minute unless
/// told.
///
/// Each round takes a sample of every case, so that what slows the machine down slows all; the
/// medians are compared. `Ratios all [ROUNDS]` does so with every case that does not suspend.
/// `Ratios list` names the cases, and `Ratios case NAME COUNT` does so many operations, to be
/// looked at by a profiler.
@main
struct Ratios {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        switch (arguments.first, arguments.dropFirst().first, arguments.dropFirst(2).first) {
        case (nil, nil, nil): compare(.aMinute)
        case (let rounds?, nil, nil) where Int(rounds).map { $0 > 0 } ?? false:
            compare(.rounds(Int(rounds)!))
        case ("all", let rounds, nil) where rounds == nil || Int(rounds!).map { $0 > 0 } ?? false:
            tellAll(.rounds(rounds.flatMap { Int($0) } ?? 51))
        case ("list", nil, nil): for each in Case.all { print(each.name) }
        case ("case", let name?, let count?):
            guard let found = Case.all.first(where: { $0.name == name }), let count = Int(count),
                count > 0,
                case .blocking = found.work
            else { usage() }
            found.run(count, began: {}, ended: {})
        default: usage()
        }
    }

    private static func usage() -> Never {
        print("usage: Ratios [ROUNDS] | all [ROUNDS] | list | case NAME COUNT")
        exit(2)
    }

    /// How long to measure.
    private enum Extent {
        case rounds(Int)
        /// As many rounds as begin in a minute, but enough for a median.
        case aMinute

        private static let minute: UInt64 = 60_000_000_000

        func isOver(after rounds: Int, _ elapsed: UInt64) -> Bool {
            switch self {
            case .rounds(let count): rounds >= count
            case .aMinute: rounds >= 5 && elapsed >= Extent.minute
            }
        }

        func text(_ rounds: Int, _ elapsed: UInt64) -> String {
            let time = "\(elapsed / 1_000_000_000) s"
            return switch self {
            case .rounds(let count): "\(rounds) of \(count) rounds in \(time)"
            case .aMinute: "\(rounds) rounds in \(time) of about 60 s"
            }
        }
    }

    private static func compare(_ extent: Extent) {
        let times = medians(Target.all.flatMap { [$0.ours, $0.peer] }, extent)
        for (index, target) in Target.all.enumerated() {
            let (ours, peer) = (times[2 * index], times[2 * index + 1])
            print(
                target.ours.name, ours, target.peer.name, peer, ours / peer, target.bound.text,
                target.bound.judge(ours, peer), separator: "\t")
        }
    }

    private static func tellAll(_ extent: Extent) {
        let cases = Case.all.filter {
            guard case .blocking = $0.work else { return false }
            return true
        }
        for (each, time) in zip(cases, medians(cases, extent)) {
            print(each.name, time, separator: "\t")
        }
    }

    private static func medians(_ cases: [Case], _ extent: Extent) -> [Double] {
        for each in cases { _ = sample(each) }
        var samples = [[Double]](repeating: [], count: cases.count)
        let start = nanoseconds()
        var told = start
        var round = 0
        while !extent.isOver(after: round, nanoseconds() - start) {
            let now = nanoseconds()
            if now - told >= 5_000_000_000 {
                told = now
                tell("\(extent.text(round, now - start))\n")
            }
            // Alternately from either end: no case always follows the same other.
            for index in round % 2 == 0 ? Array(cases.indices) : cases.indices.reversed() {
                samples[index].append(sample(cases[index]))
            }
            round += 1
        }
        return samples.map(median)
    }

    /// Tells a person who waits; the table is on standard output.
    private static func tell(_ text: String) {
        var text = text
        text.withUTF8 { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// Nanoseconds for one operation. A sample during which the system took a processor away is
    /// taken again.
    private static func sample(_ each: Case) -> Double {
        var (start, end): (UInt64, UInt64) = (0, 0)
        for _ in 0..<attempts {
            if each.run(
                each.count, began: { start = nanoseconds() }, ended: { end = nanoseconds() })
            {
                break
            }
        }
        return Double(end - start) / Double(each.count)
    }

    /// On a machine that is too busy the last sample is kept as it is.
    private static let attempts = 20

    private static func median(_ samples: [Double]) -> Double {
        let sorted = samples.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
