// SPDX-License-Identifier: Apache-2.0

/// The nodes of all wake-up trees of an exploration, kept in one pool.
///
/// A wake-up tree says which continuations of a prefix are still to be explored (Abdulla, Aronis,
/// Jonsson, Sagonas: Optimal Dynamic Partial Order Reduction, POPL 2014). A list of siblings is in
/// the order of their exploration.
@safe
final class WakeupTrees {
    struct Node: BitwiseCopyable {
        var thread: Int32
        var choice: Int32
        var footprint: Footprint
        /// Whether the step may touch something else here.
        var isVague = false
        var firstChild: Int32 = -1
        var next: Int32 = -1
    }

    private let nodes = Stack<Node>(capacity: 256)
    private var free: Int32 = -1

    @inline(__always)
    subscript(index: Int32) -> Node {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(nodes.address(of: Int(index))) }
        @inline(__always)
        unsafeMutableAddress { unsafe nodes.address(of: Int(index)) }
    }

    func make(thread: Int32, choice: Int32, footprint: Footprint) -> Int32 {
        let index = free
        guard index >= 0 else {
            nodes.append(Node(thread: thread, choice: choice, footprint: footprint))
            return Int32(truncatingIfNeeded: nodes.count - 1)
        }
        free = nodes[Int(index)].next
        nodes[Int(index)] = Node(thread: thread, choice: choice, footprint: footprint)
        return index
    }

    func release(_ index: Int32) {
        nodes[Int(index)].next = free
        nodes[Int(index)].firstChild = -1
        free = index
    }

    /// Releases a list of siblings and all below them.
    func releaseAll(_ first: Int32) {
        var index = first
        while index >= 0 {
            let node = nodes[Int(index)]
            releaseAll(node.firstChild)
            release(index)
            index = node.next
        }
    }
}
