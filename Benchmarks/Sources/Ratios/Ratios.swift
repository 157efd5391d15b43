// SPDX-License-Identifier: Apache-2.0

import Cases
import Glibc

/// Compares our operations with their peers' in one run: `Ratios [ROUNDS]`.
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
        case (nil, nil, nil): compare(rounds: 201)
        case (let rounds?, nil, nil) where Int(rounds).map { $0 > 0 } ?? false:
            compare(rounds: Int(rounds)!)
        case ("all", let rounds, nil) where rounds == nil || Int(rounds!).map { $0 > 0 } ?? false:
            tellAll(rounds: rounds.flatMap { Int($0) } ?? 51)
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

    private static func compare(rounds: Int) {
        let times = medians(Target.all.flatMap { [$0.ours, $0.peer] }, rounds)
        for (index, target) in Target.all.enumerated() {
            let (ours, peer) = (times[2 * index], times[2 * index + 1])
            print(
                target.ours.name, ours, target.peer.name, peer, ours / peer, target.bound.text,
                target.bound.judge(ours, peer), separator: "\t")
        }
    }

    private static func tellAll(rounds: Int) {
        let cases = Case.all.filter {
            guard case .blocking = $0.work else { return false }
            return true
        }
        for (each, time) in zip(cases, medians(cases, rounds)) {
            print(each.name, time, separator: "\t")
        }
    }

    private static func medians(_ cases: [Case], _ rounds: Int) -> [Double] {
        for each in cases { _ = sample(each) }
        var samples = [[Double]](repeating: [], count: cases.count)
        for round in 0..<rounds {
            // Alternately from either end: no case always follows the same other.
            for index in round % 2 == 0 ? Array(cases.indices) : cases.indices.reversed() {
                samples[index].append(sample(cases[index]))
            }
        }
        return samples.map(median)
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
