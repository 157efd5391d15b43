// SPDX-License-Identifier: Apache-2.0

import Cases

/// What one of our operations may cost, beside a peer's.
struct Target {
    let ours: Case
    let peer: Case
    let bound: Bound

    enum Bound {
        /// So many times what the peer costs.
        case ratio(Double)
        /// So many nanoseconds.
        case nanoseconds(Double)
        /// So many nanoseconds more than the peer.
        case more(Double)
        /// For comparison only.
        case none

        var text: String {
            switch self {
            case .ratio(let limit): "≤ \(limit) ×"
            case .nanoseconds(let limit): "≤ \(Int(limit)) ns"
            case .more(let limit): "≤ \(Int(limit)) ns more"
            case .none: "–"
            }
        }

        /// A mark for met or not.
        func judge(_ ours: Double, _ peer: Double) -> String {
            switch self {
            case .ratio(let limit): ours <= limit * peer ? "✓" : "✗"
            case .nanoseconds(let limit): ours <= limit ? "✓" : "✗"
            case .more(let limit): ours <= peer + limit ? "✓" : "✗"
            case .none: "–"
            }
        }
    }

    static let all = [
        Target(ours: References.share, peer: References.retain, bound: .ratio(1)),
        Target(
            ours: References.share.with(.same), peer: References.retain.with(.same), bound: .none),
        Target(ours: Locks.read, peer: Locks.pthreadRead, bound: .ratio(1)),
        Target(
            ours: Locks.read.with(.same), peer: Locks.pthreadRead.with(.same), bound: .ratio(1)),
        Target(ours: Locks.write, peer: Locks.mutex, bound: .ratio(1.2)),
        Target(ours: Locks.write, peer: Locks.pthreadWrite, bound: .none),
        Target(
            ours: Locks.write.with(.same), peer: Locks.pthreadWrite.with(.same), bound: .none),
        Target(ours: Gates.enter, peer: Gates.counter, bound: .nanoseconds(2)),
        Target(
            ours: Gates.enter.with(.same), peer: Gates.counter.with(.same), bound: .nanoseconds(2)),
        Target(ours: Gates.close, peer: Gates.membarrier, bound: .nanoseconds(1000)),
        Target(
            ours: Gates.close.with(.asleep), peer: Gates.membarrier.with(.asleep),
            bound: .nanoseconds(1000)),
        Target(ours: Gates.close.with(.busy), peer: Gates.membarrier.with(.busy), bound: .ratio(2)),
        Target(ours: Scopes.addAndRelease, peer: Scopes.appendAndCall, bound: .ratio(1.5)),
        Target(ours: Devices.control, peer: Devices.ownWork, bound: .more(15)),
        Target(ours: Devices.control, peer: Devices.lockedCall, bound: .none),
        Target(ours: Devices.resources, peer: Devices.fewResources, bound: .ratio(1.3)),
        Target(ours: Devices.amongMany, peer: Devices.amongFew, bound: .ratio(3)),
        Target(ours: Events.signal, peer: Events.eventDescriptor, bound: .ratio(0.05)),
        Target(
            ours: WorkQueues.submitFunction, peer: WorkQueues.dispatchSerial, bound: .ratio(0.25)),
        Target(
            ours: WorkQueues.submitFunction, peer: WorkQueues.dispatchFunction, bound: .ratio(1)),
        Target(ours: WorkQueues.submit, peer: WorkQueues.dispatchSerial, bound: .ratio(0.25)),
        Target(ours: WorkQueues.submit, peer: WorkQueues.dispatchItems, bound: .none),
        Target(ours: WorkQueues.twoProducers, peer: WorkQueues.submitFunction, bound: .ratio(1)),
        Target(
            ours: WorkQueues.twoProducers, peer: WorkQueues.dispatchTwoProducers, bound: .ratio(1)),
        Target(
            ours: WorkQueues.twoProducers, peer: WorkQueues.dispatchFunctionTwoProducers,
            bound: .none),
        Target(ours: WorkQueues.roundTrip, peer: WorkQueues.dispatchRoundTrip, bound: .ratio(1)),
    ]
}
