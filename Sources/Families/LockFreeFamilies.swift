// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// References are put while one thread tries to get another.
enum GetUnlessZero {
    static func program(_ size: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let references = Cells(1, "ref", initial: size)
            let freed = Cells(1, "freed")
            let put: @Sendable () -> Void = { if references.add(-1, 0) == 1 { freed.add(1, 0) } }
            for thread in 0..<size { world.thread("put \(thread)", put) }
            world.thread("get") {
                var seen = references.load(0)
                while seen != 0 {
                    let (exchanged, original) = references.compareExchange(0, seen, seen + 1)
                    if exchanged {
                        expect(freed.load(0) == 0, "got a reference to what was freed")
                        return put()
                    }
                    seen = original
                }
            }
            world.afterwards { expect(freed.load(0) == 1, "freed not exactly once") }
        }
    }
}

/// A stack of indices: pushers and poppers, no node used twice.
enum TreiberStack {
    static func program(_ size: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let top = Cells(1, "top")
            let next = Cells(size + 1, "next")
            let got = Cells(size + 1, "got")
            for node in 1...size {
                world.thread("pusher \(node)") {
                    while true {
                        let head = top.load(0)
                        next.store(head, node)
                        if top.compareExchange(0, head, node).exchanged { return }
                    }
                }
            }
            for popper in 1...size {
                world.thread("popper \(popper)") {
                    while true {
                        let head = top.load(0)
                        if head == 0 { return }
                        let following = next.load(head)
                        if top.compareExchange(0, head, following).exchanged {
                            got.add(1, head)
                            return
                        }
                    }
                }
            }
            world.afterwards {
                for node in 1...size {
                    expect(got.load(node) <= 1, "node \(node) was popped twice")
                }
            }
        }
    }
}

/// The queue of Michael and Scott on indices: one operation a thread, no node used twice.
enum MichaelScottQueue {
    static func program(_ enqueuers: Int, _ dequeuers: Int) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let ends = Cells(2, "end", initial: 1)
            let next = Cells(enqueuers + 2, "next")
            let got = Cells(enqueuers + 2, "got")
            let head = 0
            let tail = 1
            for enqueuer in 0..<enqueuers {
                let node = enqueuer + 2
                world.thread("enqueuer \(enqueuer)") {
                    while true {
                        let last = ends.load(tail)
                        let following = next.load(last)
                        guard ends.load(tail) == last else { continue }
                        if following == 0 {
                            if next.compareExchange(last, 0, node).exchanged {
                                _ = ends.compareExchange(tail, last, node)
                                return
                            }
                        } else {
                            _ = ends.compareExchange(tail, last, following)
                        }
                    }
                }
            }
            for dequeuer in 0..<dequeuers {
                world.thread("dequeuer \(dequeuer)") {
                    while true {
                        let first = ends.load(head)
                        let last = ends.load(tail)
                        let following = next.load(first)
                        guard ends.load(head) == first else { continue }
                        if first == last {
                            if following == 0 { return }
                            _ = ends.compareExchange(tail, last, following)
                        } else if ends.compareExchange(head, first, following).exchanged {
                            got.add(1, following)
                            return
                        }
                    }
                }
            }
            world.afterwards {
                for node in 0..<(enqueuers + 2) {
                    expect(got.load(node) <= 1, "node \(node) was dequeued twice")
                }
            }
        }
    }
}
