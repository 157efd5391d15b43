// SPDX-License-Identifier: Apache-2.0

/// A connection to a database.
public actor Connection {
    private var isOpen = true

    public init() {}

    /// Whether the connection can be used.
    public func ping() -> Bool { isOpen }

    /// Says goodbye to the database, and closes.
    public func close() { isOpen = false }
}

/// A pool that closes its idle connections where they lie.
///
/// Wrong: while one connection says goodbye, the actor serves others, who find it, closed, among
/// the idle ones.
public actor BrokenConnectionPool {
    private var idle: [Connection]

    public init(_ connections: [Connection]) { idle = connections }

    /// An idle connection, or else a new one.
    public func take() -> Connection { idle.popLast() ?? Connection() }

    /// Takes a connection back.
    public func giveBack(_ connection: Connection) { idle.append(connection) }

    /// Closes the idle connections; called when the pool has been quiet for a while.
    public func closeIdle() async {
        for connection in idle { await connection.close() }
        idle.removeAll()
    }
}

/// A pool that takes out what it closes.
///
/// Right: before the first `await` nobody can find the connections any more. Those given back
/// meanwhile stay.
public actor ConnectionPool {
    private var idle: [Connection]

    public init(_ connections: [Connection]) { idle = connections }

    /// An idle connection, or else a new one.
    public func take() -> Connection { idle.popLast() ?? Connection() }

    /// Takes a connection back.
    public func giveBack(_ connection: Connection) { idle.append(connection) }

    /// Closes the idle connections; called when the pool has been quiet for a while.
    public func closeIdle() async {
        let closing = idle
        idle.removeAll()
        for connection in closing { await connection.close() }
    }
}
