// SPDX-License-Identifier: Apache-2.0

import Glibc

/// `InstructionCount ours-add 100000` performs so many operations, to be counted by callgrind.
/// `InstructionCount time [ROUNDS]` times all cases, Substrate's and the standard library's in
/// turn. `InstructionCount list` names the cases.
@main
struct InstructionCount {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        switch arguments.first {
        case "list":
            for each in Case.all { print(each.name) }
        case "time":
            time(rounds: arguments.dropFirst().first.flatMap { Int($0) } ?? 41)
        case let name?:
            guard let count = arguments.dropFirst().first.flatMap({ Int($0) }), run(name, count)
            else { usage() }
        case nil:
            usage()
        }
    }

    private static func usage() -> Never {
        print("usage: InstructionCount list | time [ROUNDS] | (ours|std)-CASE COUNT")
        exit(2)
    }

    private static func run(_ name: String, _ count: Int) -> Bool {
        for each in Case.all {
            if name == "ours-\(each.name)" {
                each.ours(Ours(), count)
                return true
            }
            if name == "std-\(each.name)" {
                each.standard(Standard(), count)
                return true
            }
        }
        return false
    }

    /// Each round times both sides, in alternating order, so that what slows the machine down slows
    /// both.
    private static func time(rounds: Int) {
        let count = 200_000
        for each in Case.all {
            let (ours, standard) = (Ours(), Standard())
            // The compare-exchanges expect 0 first.
            func timeOurs() -> Double {
                ours.number.store(0, ordering: .relaxed)
                return nanoseconds { each.ours(ours, count) } / Double(count)
            }
            func timeStandard() -> Double {
                standard.number.store(0, ordering: .relaxed)
                return nanoseconds { each.standard(standard, count) } / Double(count)
            }
            _ = (timeOurs(), timeStandard())
            var (oursTimes, standardTimes): ([Double], [Double]) = ([], [])
            for round in 0..<max(rounds, 21) {
                if round % 2 == 0 { oursTimes.append(timeOurs()) }
                standardTimes.append(timeStandard())
                if round % 2 == 1 { oursTimes.append(timeOurs()) }
            }
            print(each.name, median(oursTimes), median(standardTimes))
        }
    }

    private static func nanoseconds(_ body: () -> Void) -> Double {
        var (start, end) = (timespec(), timespec())
        clock_gettime(CLOCK_MONOTONIC, &start)
        body()
        clock_gettime(CLOCK_MONOTONIC, &end)
        return Double(end.tv_sec - start.tv_sec) * 1e9 + Double(end.tv_nsec - start.tv_nsec)
    }

    private static func median(_ times: [Double]) -> Double {
        let sorted = times.sorted()
        return sorted[sorted.count / 2]
    }
}
