// SPDX-License-Identifier: Apache-2.0

import Benchmark
import Cases

let benchmarks: @Sendable () -> Void = {
    for (subject, cases) in [("References", References.all), ("Gates", Gates.all), ("Events", Events.all)] {
        for each in cases { register(each, in: subject) }
    }
}

/// One iteration is a thousand operations or a million: `--scale` shows one of them.
private func register(_ each: Case, in subject: String) {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput], warmupIterations: 2, scalingFactor: each.count < 100_000 ? .kilo : .mega,
        maxDuration: .milliseconds(500), maxIterations: 1000)
    let name = "\(subject): \(each.name)"
    switch each.work {
    case .blocking:
        Benchmark(name) { benchmark in
            each.run(
                benchmark.scaledIterations.count, began: benchmark.startMeasurement, ended: benchmark.stopMeasurement)
        }
    case .suspending(let prepare):
        Benchmark(name) { benchmark in
            let count = benchmark.scaledIterations.count
            let operation = prepare(count)
            benchmark.startMeasurement()
            await operation(count)
            benchmark.stopMeasurement()
        }
    }
}
