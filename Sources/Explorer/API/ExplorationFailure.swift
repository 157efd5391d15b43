// SPDX-License-Identifier: Apache-2.0

/// An exploration found something wrong.
public struct ExplorationFailure: Error, CustomStringConvertible {
    public let report: ExplorationReport
    let text: String

    public var description: String { text }
}
