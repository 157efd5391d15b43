// SPDX-License-Identifier: Apache-2.0

/// A step in the sleep set of a prefix: it was explored from there, or from a shorter prefix of
/// which nothing since conflicts with it.
struct Sleeper: BitwiseCopyable {
    var thread: Int32
    var choice: Int32
    var footprint: Footprint
}
