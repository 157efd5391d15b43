// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Fuzzing

@main
struct FuzzExplorer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuzz-explorer",
        abstract: "Explores programs made at random, and compares the strategies.")

    @Option(help: "How long to go on.") var seconds = 60.0
    @Option(help: "The first program's number; another of these is made where none is given.")
    var seed: UInt64?
    @Option(help: "How many things a program does.") var size = 6
    @Option(help: "Executions after which a search without reduction is given up.") var limit =
        20_000
    @Option(help: "Stop after this many differences.") var failures = 10
    @Option(help: "The kinds of programs: threads, tasks, primitives.") var kinds = Kind.allCases

    enum Kind: String, CaseIterable, ExpressibleByArgument { case threads, tasks, primitives }

    private struct Tally {
        var programs = 0
        var exhausted = 0
        var executions = 0
    }

    func run() throws {
        let seed = self.seed ?? UInt64.random(in: 0..<1_000_000) * 1_000_000
        print("seed \(seed)")
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds)
        var tallies: [Kind: Tally] = [:]
        var (number, found) = (seed, 0)
        while clock.now < end, found < failures {
            let kind = kinds[Int(number % UInt64(kinds.count))]
            var random = FuzzGenerator(number)
            let differs: Bool
            switch kind {
            case .threads:
                differs = check(
                    ThreadProgram.random(&random, size: size), number,
                    &tallies[kind, default: Tally()])
            case .tasks:
                differs = check(
                    TaskProgram.random(&random, size: size - 2), number,
                    &tallies[kind, default: Tally()])
            case .primitives:
                differs = check(
                    PrimitiveProgram.random(&random, size: size - 1), number,
                    &tallies[kind, default: Tally()])
            }
            if differs { found += 1 }
            number += 1
        }
        for (kind, tally) in tallies.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            print(
                "\(kind.rawValue): \(tally.programs) programs, \(tally.exhausted) compared with every interleaving, "
                    + "\(tally.executions) executions of the optimal strategy")
        }
        print("\(found) differences")
        if found > 0 { throw ExitCode.failure }
    }

    private func check(_ program: some FuzzProgram, _ number: UInt64, _ tally: inout Tally) -> Bool
    {
        let (difference, optimal, reference) = FuzzDifference.find(program, limit: limit)
        tally.programs += 1
        tally.executions += optimal.executions
        if reference.isComplete { tally.exhausted += 1 }
        guard let difference else { return false }
        print("\(number): \(difference.kind)\n  \(program)\n  \(difference)")
        let small = FuzzDifference.shrink(program, difference.kind, limit: limit)
        print("  \(small)\n  \(FuzzDifference.find(small, limit: limit).difference!)")
        return true
    }
}
