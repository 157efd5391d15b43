// SPDX-License-Identifier: Apache-2.0

/// What a world holds whose threads a forked child does not have.
public protocol LeftBehindByFork: AnyObject, Sendable {
    /// The object stays behind in the parent; this is its copy in the child, which nobody is given
    /// any more.
    func abandon()
}

extension LeftBehindByFork {
    /// Nothing, where whoever uses the object finds by itself that it is of before.
    public func abandon() {}
}
