// SPDX-License-Identifier: Apache-2.0

import CInstrumentation
import Substrate
import Synchronization

/// What the Swift runtime shows of references, and which types matter.
///
/// The last release of an object runs its `deinit` on the thread that drops it. Where what that
/// does can be seen, it matters which thread is the last: then each release of an object of the
/// type is a step. Releases that are not the last commute with one another; the last one conflicts
/// with all. A type matters once an end of one of its objects was seen to take a step, once a weak
/// or an unowned reference to one is loaded, or once somebody asks whether a reference is the only
/// one.
///
/// Array storage, boxes and what closures capture are objects like any other, with types of their
/// own. What holds an object that matters, matters by the same rule: its end takes a step.
@safe
final class References {
    private let watch: OpaquePointer
    /// Whether the runtime shows what becomes of references.
    private(set) var isSeen = true
    /// Whether there was no room for a type that matters: releases of its objects are no steps.
    private(set) var lacksRoom = false
    /// Where the types in `watch` come from.
    private var types = TypeSet()
    private var known: [UInt] = []
    /// By what the runtime keeps for the weak references to an object.
    private var weakOnes: [UInt: WeakOne] = [:]
    // To ask the dictionary costs more.
    private var hasWeakOnes = false

    /// An object that has weak references.
    struct WeakOne {
        var type: UInt
        var hasEnded = false
    }

    /// - Parameter steps: where the number of steps taken is kept.
    init(steps: UnsafePointer<Int64>) {
        unsafe watch = quiesce_reference_watch_create(steps)
    }

    deinit { unsafe quiesce_reference_watch_destroy(watch) }

    /// Calls `body` while the calling thread's fibers are watched.
    func watching<Result>(for watcher: Scheduler, _ body: () -> Result) -> Result {
        var listener = Self.listener
        isSeen = unsafe quiesce_reference_watch_begin(
            watch, Unmanaged.passUnretained(watcher).toOpaque(), &listener)
        defer { if isSeen { quiesce_reference_watch_end() } }
        return body()
    }

    /// Calls `body` while nobody watches.
    func notWatching<Result>(_ body: () -> Result) -> Result {
        isSeen = false
        return body()
    }

    func beginExecution(_ matters: TypeSet) {
        if hasWeakOnes {
            weakOnes.removeAll()
            hasWeakOnes = false
        }
        unsafe quiesce_reference_watch_forget_ends(watch)
        guard matters != types else { return }
        types = matters
        known = matters.all
        unsafe quiesce_reference_watch_clear(watch)
        for type in known where !set(type, quiesce_type_matters) { lacksRoom = true }
    }

    /// What is known of a type until the next execution.
    ///
    /// - Returns: false where there is no room. A type that does not matter is then asked about
    ///   again.
    @discardableResult
    private func set(_ type: UInt, _ standing: quiesce_type_standing) -> Bool {
        unsafe quiesce_reference_watch_set(
            watch, UnsafeRawPointer(bitPattern: type)!, standing)
    }

    func matters(_ type: UInt) -> Bool { known.contains(type) }

    func isOrdinary(_ type: UInt) { set(type, quiesce_type_ordinary) }

    subscript(weak: UInt) -> WeakOne? {
        get { weakOnes[weak] }
        set {
            weakOnes[weak] = newValue
            hasWeakOnes = true
        }
    }

    // MARK: Ends

    /// Those that have begun and are not over: what is in them are steps of an end.
    var openEnds: UnsafeMutableBufferPointer<quiesce_end> {
        var count: Int32 = 0
        let ends = unsafe quiesce_reference_watch_ends(watch, &count)
        return unsafe UnsafeMutableBufferPointer(start: ends, count: Int(count))
    }

    // MARK: The runtime's objects

    static func type(of object: UInt) -> UInt {
        unsafe UnsafePointer<UInt>(bitPattern: object)!.pointee
    }

    static func isLast(_ object: UInt, _ count: UInt32) -> Bool {
        unsafe quiesce_reference_is_last(UnsafeRawPointer(bitPattern: object)!, count)
    }

    /// What stands for the weak references to the object, 0 while there is none.
    static func weak(of object: UInt) -> UInt {
        unsafe quiesce_reference_weak(UnsafeRawPointer(bitPattern: object)!)
    }

    /// The object that has these weak references, 0 once it has ended.
    static func object(of weak: UInt) -> UInt {
        unsafe UInt(bitPattern: quiesce_reference_object(weak))
    }

    /// The name of a type with its module; nil for what is no class: a box, what a closure
    /// captures.
    static func name(ofType type: UInt) -> String? {
        let kind = unsafe UnsafePointer<UInt>(bitPattern: type)!.pointee
        // Kinds above are classes too, as other platforms mark them.
        guard kind == 0 || kind > 0x7ff else { return nil }
        return _typeName(unsafe unsafeBitCast(type, to: Any.Type.self), qualified: true)
    }

    /// What a trace calls an object of the type.
    static func description(ofType type: UInt) -> String {
        guard let name = name(ofType: type) else { return "a closure's captures" }
        if name.hasPrefix("Swift._") { return name.contains("Array") ? "array" : "collection" }
        return unsafe _typeName(unsafeBitCast(type, to: Any.Type.self), qualified: false)
    }

    // MARK: Hearing

    private static var listener: quiesce_reference_listener {
        unsafe quiesce_reference_listener(
            releases: { watcher, object, count, place in
                unsafe told(watcher) { $0.releases(UInt(bitPattern: object), count, place) }
            },
            loses: { watcher, weak, type in
                unsafe told(watcher) { $0.losesWeak(weak, UInt(bitPattern: type)) }
            },
            ended: { watcher, end in
                unsafe told(watcher) { unsafe $0.objectHasEnded(end.pointee) }
            },
            asks: { watcher, object, place in
                unsafe told(watcher) { $0.asksForOnly(UInt(bitPattern: object), place) }
            },
            loads: { watcher, weak, place in unsafe told(watcher) { $0.loadsWeak(weak, place) } },
            loads_unowned: { watcher, object, place in
                unsafe told(watcher) { $0.loadsUnowned(UInt(bitPattern: object), place) }
            })
    }
}

/// The runtime tells `watcher`, which is a scheduler.
private func told(_ watcher: UnsafeMutableRawPointer, _ hear: (Scheduler) -> Void) {
    unsafe Unmanaged<Scheduler>.fromOpaque(watcher)._withUnsafeGuaranteedRef(hear)
}

/// Some types, as a number that stands for these in the whole process: it is compared in each
/// execution.
struct TypeSet: BitwiseCopyable, Equatable {
    private var number = 0
    private static let sets = Synchronization.Mutex<[[UInt]]>([[]])

    var isEmpty: Bool { number == 0 }
    var all: [UInt] { isEmpty ? [] : Self.sets.withLock { $0[number] } }

    /// - Parameter type: one that is not among them.
    func adding(_ type: UInt) -> TypeSet {
        let wanted = (all + [type]).sorted()
        return Self.sets.withLock { sets in
            var result = TypeSet()
            result.number = sets.firstIndex(of: wanted) ?? sets.count
            if result.number == sets.count { sets.append(wanted) }
            return result
        }
    }
}

/// Where this process has its types means nothing to another.
extension TypeSet: Codable {
    init(from decoder: any Decoder) {}
    func encode(to encoder: any Encoder) throws {}
}
