// SPDX-License-Identifier: Apache-2.0

import CPeers
import Quiesce
import Synchronization

/// What keeps an object: references of ours, and of Swift's.
public enum References {
    public static let all =
        [
            share, share.with(.same), tryReference, retain, retain.with(.same), copy,
            retainWeakened, loadWeak, add,
            add.with(.same), mutex, mutex.with(.same), allocate,
        ]

    // MARK: Ours

    public static let share = Case(
        "Reference share + drop",
        .blocking { _ in
            let holder = Holder()
            return { count in times(count) { holder.reference.share().drop() } }
        })

    static let tryReference = Case(
        "Reference tryReference + drop",
        .blocking { _ in
            let holder = Holder()
            return { count in times(count) { holder.object.tryReference()?.drop() } }
        })

    // MARK: Swift's

    public static let retain = Case(
        "Swift retain + release",
        .blocking { _ in
            let object = Plain()
            return { count in retainAndRelease(object, count) }
        })

    static let retainWeakened = Case(
        "Swift retain + release, once there was a weak reference",
        .blocking { _ in
            let object = Plain()
            // Its counts move to a side table, and stay there.
            WeakVariable(object).object = nil
            return { count in retainAndRelease(object, count) }
        })

    @inline(never)
    private static func retainAndRelease(_ object: Plain, _ count: Int) {
        let reference = Unmanaged.passUnretained(object)
        // Without a use between them the optimiser removes both.
        times(count) {
            _ = reference.retain()
            peers_use(reference.toOpaque())
            reference.release()
        }
    }

    static let copy = Case(
        "Swift store to a variable",
        .blocking { _ in
            let (first, variable) = (Plain(), Variable())
            return { count in
                times(count) {
                    variable.value.pointee = first
                    peers_use(variable.value)
                }
            }
        })

    static let loadWeak = Case(
        "Swift weak load + release",
        .blocking { _ in
            let object = Plain()
            let variable = WeakVariable(object)
            return { count in
                times(count) {
                    if let loaded = variable.object {
                        peers_use(Unmanaged.passUnretained(loaded).toOpaque())
                    }
                }
                withExtendedLifetime(object) {}
            }
        })

    static let allocate = Case(
        "Swift class allocate + deallocate",
        .blocking { _ in
            { count in times(count) { peers_use(Unmanaged.passUnretained(Plain()).toOpaque()) } }
        })

    // MARK: What both are made of

    static let add = Case(
        "Synchronization.Atomic add",
        .blocking { _ in
            let number = Number()
            return { count in times(count) { number.value.wrappingAdd(1, ordering: .relaxed) } }
        })

    static let mutex = Case(
        "Synchronization.Mutex lock + unlock",
        .blocking { _ in
            let guarded = Guarded()
            return { count in times(count) { guarded.number.withLock { $0 &+= 1 } } }
        })
}

private final class Counted: ReferenceCounted {
    let referenceCount = ReferenceCount()
    func release() {}
}

private final class Holder: Sendable {
    let object: Counted
    let reference: Reference<Counted>

    init() {
        object = Counted()
        reference = Reference(object)
    }
}

private final class Plain: Sendable {
    let value = 1
}

private final class Number: Sendable {
    let value = Atomic<Int>(0)
}

private final class Guarded: Sendable {
    let number = Mutex(0)
}

// One thread uses it.
private final class WeakVariable: @unchecked Sendable {
    weak var object: Plain?
    init(_ object: Plain) { self.object = object }
}

// One thread uses it. In memory of its own, since a class's variable is checked for exclusivity at
// each access.
private final class Variable: @unchecked Sendable {
    let value = UnsafeMutablePointer<Plain?>.allocate(capacity: 1)
    init() { value.initialize(to: nil) }

    deinit {
        value.deinitialize(count: 1)
        value.deallocate()
    }
}
