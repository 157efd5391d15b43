// SPDX-License-Identifier: Apache-2.0

/// The hash of Fowler, Noll and Vo, in the form that multiplies last: it is the same in every
/// process, and keeps apart what nobody has chosen to collide.
package struct FNV1a {
    package private(set) var value: UInt64 = 14_695_981_039_346_656_037

    package init() {}

    package mutating func add(_ part: UInt64) {
        value = (value ^ part) &* 1_099_511_628_211
    }
}
