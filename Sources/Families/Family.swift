// SPDX-License-Identifier: Apache-2.0

public import Explorer

/// A parametric program whose number of executions is known: the measure of the explorer.
public struct Family: Sendable {
    public let name: String
    /// How the size is written, with an example.
    public let sizeHint: String
    /// How many numbers a size has.
    let arity: Int
    /// The one size that a program has which is not parametric.
    var onlySize: Int?
    /// The program of a size, where its main is a thread.
    public let program: (@Sendable (FamilySize) -> @Sendable (ExploredWorld) -> Void)?
    private let make: @Sendable (FamilySize, String, ExplorationOptions) -> Exploration

    /// A family of programs of threads.
    init(
        name: String, sizeHint: String, arity: Int, onlySize: Int? = nil,
        program: @escaping @Sendable (FamilySize) -> @Sendable (ExploredWorld) -> Void
    ) {
        self.name = name
        self.sizeHint = sizeHint
        self.arity = arity
        self.onlySize = onlySize
        self.program = program
        make = { Exploration($1, options: $2, program($0)) }
    }

    /// A family of programs of tasks.
    init(
        name: String, sizeHint: String, arity: Int,
        tasks: @escaping @Sendable (FamilySize) -> @Sendable (ExploredWorld) async -> Void
    ) {
        self.name = name
        self.sizeHint = sizeHint
        self.arity = arity
        program = nil
        make = { Exploration($1, options: $2, tasks($0)) }
    }

    /// The exploration of this family's program of the given size.
    public func exploration(_ size: FamilySize, options: ExplorationOptions) throws(FamilySize
        .Failure) -> Exploration
    {
        guard size.numbers.count == arity, onlySize == nil || size.numbers == [onlySize!] else {
            throw .wrongArity(family: name, hint: sizeHint)
        }
        return make(size, "\(name) \(size)", options)
    }

    /// The family of that name.
    public static func named(_ name: String) -> Family? { all.first { $0.name == name } }

    public static let all: [Family] =
        [
            Family(name: "lastzero", sizeHint: "5", arity: 1) { LastZero.program($0[0]) },
            Family(name: "readers", sizeHint: "8", arity: 1) { Readers.program($0[0]) },
            Family(name: "indexer", sizeHint: "12", arity: 1) { Indexer.program($0[0]) },
            Family(name: "filesystem", sizeHint: "16", arity: 1) { FileSystem.program($0[0]) },
            Family(name: "increments", sizeHint: "2x4", arity: 2) {
                Increments.program($0[0], $0[1], withMutex: false)
            },
            Family(name: "increments-mutex", sizeHint: "2x4", arity: 2) {
                Increments.program($0[0], $0[1], withMutex: true)
            },
            Family(name: "mutex-counter", sizeHint: "2x3", arity: 2) {
                MutexCounter.program($0[0], $0[1])
            },
            Family(name: "philosophers-ordered", sizeHint: "3", arity: 1) {
                Philosophers.program($0[0], ordered: true)
            },
            Family(name: "philosophers", sizeHint: "3", arity: 1) {
                Philosophers.program($0[0], ordered: false)
            },
            Family(name: "abba", sizeHint: "2", arity: 1, onlySize: 2) { _ in ABBA.program() },
            Family(name: "account", sizeHint: "2", arity: 1) {
                Accounts.program($0[0], locked: true)
            },
            Family(name: "account-unlocked", sizeHint: "2", arity: 1) {
                Accounts.program($0[0], locked: false)
            },
            Family(name: "refcount", sizeHint: "2", arity: 1) { GetUnlessZero.program($0[0]) },
            Family(name: "treiber", sizeHint: "1", arity: 1) { TreiberStack.program($0[0]) },
            Family(name: "msqueue", sizeHint: "2,1", arity: 2) {
                MichaelScottQueue.program($0[0], $0[1])
            },
            Family(name: "bounded-buffer", sizeHint: "2,1", arity: 2) {
                BoundedBuffer.program($0[0], $0[1], oneCondition: false)
            },
            Family(name: "bounded-buffer-one-condition", sizeHint: "2,2", arity: 2) {
                BoundedBuffer.program($0[0], $0[1], oneCondition: true)
            },
            Family(
                name: "actor-visits", sizeHint: "2x1", arity: 2,
                tasks: { ActorVisits.program($0[0], $0[1]) }),
            Family(name: "lost-wakeup", sizeHint: "2", arity: 1, onlySize: 2) { _ in
                LostWakeUp.program()
            },
        ]
}
