// SPDX-License-Identifier: Apache-2.0

/// Whether the tests were built with the optimiser, which leaves suspensions without a line of
/// their own.
package let isOptimised: Bool = {
    var isOptimised = true
    assert(
        {
            isOptimised = false
            return true
        }())
    return isOptimised
}()
