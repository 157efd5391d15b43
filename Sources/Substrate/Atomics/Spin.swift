// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// Spins until `condition` is false.
///
/// For waits that are known to be short. While explored, a thread whose condition held does nothing
/// until something that the condition read is written, so that the loop has finitely many
/// executions; a bare `while` loop meets the step limit.
public func spin(
    file: StaticString = #filePath, line: UInt = #line, while condition: () -> Bool
) {
    if let observer = Watch.observer {
        while true {
            observer.with { $0.spinBegins() }
            guard condition() else { return observer.with { $0.spinEnds() } }
            observer.with { $0.spinWaits(at: Site(file, line)) }
        }
    }
    // A short stay in user space, then let others run: the one we wait for may need this processor.
    var rounds = 0
    while condition() {
        rounds += 1
        if rounds < 128 { quiesce_pause() } else { quiesce_yield() }
    }
}
