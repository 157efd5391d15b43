// SPDX-License-Identifier: Apache-2.0

/// Hands pages from one producer to one consumer. The producer waits until its page is taken.
///
/// Wrong: `finish` wakes a producer that waits already, and is then forgotten. One that offers its
/// next page a moment later waits for ever, and keeps all that it holds.
public actor BrokenFeed {
    private var page: Int?
    private var producer: CheckedContinuation<Bool, Never>?
    private var consumer: CheckedContinuation<Void, Never>?

    public init() {}

    /// Offers a page, and waits until it is taken. False when nobody will take it.
    public func offer(_ page: Int) async -> Bool {
        self.page = page
        consumer?.resume()
        consumer = nil
        return await withCheckedContinuation { producer = $0 }
    }

    /// Waits for the next page.
    public func next() async -> Int? {
        if page == nil { await withCheckedContinuation { consumer = $0 } }
        defer { page = nil }
        producer?.resume(returning: true)
        producer = nil
        return page
    }

    /// Called by the consumer when it wants no more.
    public func finish() {
        producer?.resume(returning: false)
        producer = nil
    }
}

/// Hands pages from one producer to one consumer. The producer waits until its page is taken.
///
/// Right: the end is a state. A caller that is about to wait looks at it first.
public actor Feed {
    private var page: Int?
    private var isFinished = false
    private var producer: CheckedContinuation<Bool, Never>?
    private var consumer: CheckedContinuation<Void, Never>?

    public init() {}

    /// Offers a page, and waits until it is taken. False when nobody will take it.
    public func offer(_ page: Int) async -> Bool {
        if isFinished { return false }
        self.page = page
        consumer?.resume()
        consumer = nil
        return await withCheckedContinuation { producer = $0 }
    }

    /// Waits for the next page.
    public func next() async -> Int? {
        if page == nil { await withCheckedContinuation { consumer = $0 } }
        defer { page = nil }
        producer?.resume(returning: true)
        producer = nil
        return page
    }

    /// Called by the consumer when it wants no more.
    public func finish() {
        isFinished = true
        producer?.resume(returning: false)
        producer = nil
    }
}
