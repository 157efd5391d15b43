// SPDX-License-Identifier: Apache-2.0

package import Substrate

extension WorldClock {
    /// When a wait ends that begins now and may take so long; nil for a wait without an end.
    package static func deadline(within timeout: Duration?) -> Instant? {
        timeout.map { now() + $0 }
    }
}

extension ContinuousClock.Instant {
    /// How long it is until then; zero when it has passed.
    package var timeLeft: Duration { max(.zero, ContinuousClock.now.duration(to: self)) }
}
