// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@Suite struct SpinTests {
    @Test func `a condition that is false at once is asked once`() {
        var asked = 0
        spin {
            asked += 1
            return false
        }
        #expect(asked == 1)
    }

    @Test func `a spin ends when the condition is false`() {
        var left = 500
        spin {
            left -= 1
            return left > 0
        }
        #expect(left == 0)
    }

    @Test func `a spin sees what another thread stored`() throws {
        let flag = Atomic<Bool>(false)
        let thread = try WorldThread.spawn { flag.store(true, ordering: .releasing) }
        spin { !flag.load(ordering: .acquiring) }
        thread.join()
        #expect(flag.load(ordering: .relaxed) == true)
    }
}
