// SPDX-License-Identifier: Apache-2.0

import Benchmark
import Cases

let benchmarks: @Sendable () -> Void = {
    for (subject, cases) in [
        ("References", References.all), ("Gates", Gates.all), ("Events", Events.all),
    ] {
        for each in cases { register(each, in: subject) }
    }
}

/// The harness's own time has whole nanoseconds, which are too coarse here.
private let operation = BenchmarkMetric.custom("An operation (ps)")

/// One iteration is a thousand operations or a million; what is shown is one operation's share.
private func register(_ each: Case, in subject: String) {
    let configuration = Benchmark.Configuration(
        metrics: [.wallClock, .throughput, operation], units: [operation: .count],
        warmupIterations: 2,
        scalingFactor: each.count < 10_000 ? .kilo : .mega, maxDuration: .milliseconds(500),
        maxIterations: 1000)
    let name = "\(subject): \(each.name)"
    switch each.work {
    case .blocking:
        Benchmark(name, configuration: configuration) { benchmark in
            var start: UInt64 = 0
            each.run(
                benchmark.scaledIterations.count,
                began: {
                    benchmark.startMeasurement()
                    start = nanoseconds()
                },
                ended: {
                    let duration = nanoseconds() - start
                    benchmark.stopMeasurement()
                    benchmark.measurement(operation, Int(duration) * 1000)
                })
        }
    case .suspending(let prepare):
        Benchmark(name, configuration: configuration) { benchmark in
            let count = benchmark.scaledIterations.count
            let work = prepare(count)
            benchmark.startMeasurement()
            let start = nanoseconds()
            await work(count)
            let duration = nanoseconds() - start
            benchmark.stopMeasurement()
            benchmark.measurement(operation, Int(duration) * 1000)
        }
    }
}
