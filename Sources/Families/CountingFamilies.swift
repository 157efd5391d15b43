// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// Thread 0 looks for the last zero while thread j sets cell j to one more than cell j − 1.
enum LastZero {
    static func program(_ size: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let cells = Cells(size + 1, "a")
            world.thread("reader") {
                var index = size
                while index > 0 && cells.load(index) != 0 { index -= 1 }
            }
            for writer in 1...size {
                world.thread("writer \(writer)") { cells.store(cells.load(writer - 1) + 1, writer) }
            }
        }
    }
}

/// One thread stores, the others load.
enum Readers {
    static func program(_ size: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let cell = Cells(1, "x")
            world.thread("writer") { cell.store(1, 0) }
            for reader in 1...size { world.thread("reader \(reader)") { _ = cell.load(0) } }
        }
    }
}

/// Threads insert into a hash table that is large enough for few of them to meet.
enum Indexer {
    static func program(_ size: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let table = Cells(128, "table")
            for thread in 0..<size {
                world.thread("inserter \(thread)") {
                    for round in 1...4 {
                        let word = round * 11 + thread
                        var slot = word * 7 % 128
                        while !table.compareExchange(slot, 0, word).exchanged {
                            slot = (slot + 1) % 128
                        }
                    }
                }
            }
        }
    }
}

/// Threads give inodes their first block.
enum FileSystem {
    static func program(_ size: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let inodeLocks = Locks(32, "inode lock")
            let blockLocks = Locks(26, "block lock")
            let inodes = Cells(32, "inode")
            let busy = Cells(26, "busy")
            for thread in 0..<size {
                world.thread("creator \(thread)") {
                    let inode = thread % 32
                    inodeLocks.lock(inode)
                    if inodes.load(inode) == 0 {
                        var block = inode * 2 % 26
                        while true {
                            blockLocks.lock(block)
                            if busy.load(block) == 0 {
                                busy.store(1, block)
                                inodes.store(block + 1, inode)
                                blockLocks.unlock(block)
                                break
                            }
                            blockLocks.unlock(block)
                            block = (block + 1) % 26
                        }
                    }
                    inodeLocks.unlock(inode)
                }
            }
        }
    }
}

/// Threads add to one counter, and then, perhaps, to another one under a lock.
enum Increments {
    private final class State: Sendable {
        let x = Atomic(0)
        let y = Atomic(0)
        let lock = Mutex(())
    }

    static func program(_ threads: Int, _ rounds: Int, withMutex: Bool)
        -> @Sendable (ExploredWorld) -> Void
    {
        { world in
            let state = State()
            let body: @Sendable () -> Void = {
                for _ in 0..<rounds { state.x.wrappingAdd(1, ordering: .sequentiallyConsistent) }
                guard withMutex else { return }
                state.lock.lock()
                state.y.wrappingAdd(1, ordering: .sequentiallyConsistent)
                state.lock.unlock()
            }
            for _ in 0..<threads { world.thread("adder", body) }
        }
    }
}

/// Threads add to a counter under a lock, again and again.
enum MutexCounter {
    static func program(_ threads: Int, _ rounds: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let count = Cells(1, "y")
            let lock = Locks(1, "m")
            for thread in 0..<threads {
                world.thread("counter \(thread)") {
                    for _ in 0..<rounds {
                        lock.lock(0)
                        count.add(1, 0)
                        lock.unlock(0)
                    }
                }
            }
            world.afterwards { expect(count.sum == threads * rounds, "an increment was lost") }
        }
    }
}
