// SPDX-License-Identifier: Apache-2.0

/// A cache that remembers only what has been loaded.
///
/// Wrong: who asks while the first load is under way finds nothing and loads as well. When a
/// popular entry expires, everybody does.
public actor BrokenCache {
    private var profiles: [Int: String] = [:]
    private let load: @Sendable (Int) async -> String

    public init(load: @escaping @Sendable (Int) async -> String) { self.load = load }

    /// The profile of a user, loaded when it is not known.
    public func profile(of user: Int) async -> String {
        if let profile = profiles[user] { return profile }
        let profile = await load(user)
        profiles[user] = profile
        return profile
    }
}

/// A cache that remembers what is being loaded.
///
/// Right: the task goes into the table before anybody waits for it, so the next caller waits for
/// the same task.
public actor Cache {
    private var profiles: [Int: Task<String, Never>] = [:]
    private let load: @Sendable (Int) async -> String

    public init(load: @escaping @Sendable (Int) async -> String) { self.load = load }

    /// The profile of a user, loaded when it is not known.
    public func profile(of user: Int) async -> String {
        if let loading = profiles[user] { return await loading.value }
        let loading = Task { [load] in await load(user) }
        profiles[user] = loading
        return await loading.value
    }
}
