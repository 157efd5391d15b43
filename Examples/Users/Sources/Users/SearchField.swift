// SPDX-License-Identifier: Apache-2.0

/// A search that was begun.
public struct Search: Sendable {
    /// What was searched for.
    public let query: String
    /// What stood in the field when the search began.
    public let text: String
}

/// A field that searches when the user has stopped typing.
///
/// Wrong: cancelling a sleep that is over does nothing. A timer whose time is up, but who has not
/// come to run yet, still begins its search, for what is no longer in the field.
public actor BrokenSearchField {
    /// The searches, in their order.
    public private(set) var searches: [Search] = []
    private var text = ""
    private var timer: Task<Void, any Error>?

    public init() {}

    /// Replaces the text.
    public func type(_ text: String) {
        self.text = text
        timer?.cancel()
        timer = Task {
            try await Task.sleep(for: .milliseconds(300))
            search(text)
        }
    }

    /// Returns when the search for the last text has begun.
    public func isQuiet() async { _ = await timer?.result }

    private func search(_ query: String) { searches.append(Search(query: query, text: text)) }
}

/// A field that searches when the user has stopped typing.
///
/// Right: back on the actor, the timer asks whether it was cancelled. Nothing can come between the
/// answer and the search.
public actor SearchField {
    /// The searches, in their order.
    public private(set) var searches: [Search] = []
    private var text = ""
    private var timer: Task<Void, any Error>?

    public init() {}

    /// Replaces the text.
    public func type(_ text: String) {
        self.text = text
        timer?.cancel()
        timer = Task {
            try await Task.sleep(for: .milliseconds(300))
            try Task.checkCancellation()
            search(text)
        }
    }

    /// Returns when the search for the last text has begun.
    public func isQuiet() async { _ = await timer?.result }

    private func search(_ query: String) { searches.append(Search(query: query, text: text)) }
}
