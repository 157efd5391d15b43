// SPDX-License-Identifier: Apache-2.0

import CInstrumentation
import Substrate

/// What the Swift runtime shows of references, and which types matter.
///
/// The last release of an object runs its `deinit` on the thread that drops it. Where what that
/// does can be seen, it matters who is the last: then each release of an object of the type is a
/// step. Releases that are not the last commute with one another; the last one conflicts with all.
/// A type matters once an end of one of its objects was seen to take a step that others can see,
/// once a weak or an unowned reference to one is loaded, or once somebody asks whether a reference
/// is the only one.
///
/// Array storage, boxes and what closures capture are objects like any other, with types of their
/// own. What holds an object that matters, matters by the same rule: its end takes a step.
@safe
final class References {
    private let watch: OpaquePointer
    /// Whether the runtime shows what becomes of references.
    private(set) var isSeen = true
    /// Where the types in `watch` come from.
    private var types: [UInt] = []
    /// By what the runtime keeps for the weak references to an object.
    private var weakOnes: [UInt: WeakOne] = [:]

    /// Ends that have begun and are not over: what is in them are steps of an end.
    private let ends = Stack<End>(capacity: 16)

    /// The end of an object, on a thread, after so many steps.
    struct End: BitwiseCopyable {
        var thread: Int32
        var object: UInt
        var size: Int
        var type: UInt
        var steps: Int
        /// Whether a step is known that others can see.
        var isVisible = false

        /// Whether nobody else reaches what is at `address`.
        func contains(_ address: UInt) -> Bool { address &- object < UInt(size) }
    }

    /// An object that has weak references.
    struct WeakOne {
        var type: UInt
        var hasEnded = false
    }

    init() { unsafe watch = quiesce_reference_watch_create() }

    deinit { unsafe quiesce_reference_watch_destroy(watch) }

    /// Calls `body` while the calling thread's fibers are watched.
    func watching<Result>(for watcher: Scheduler, _ body: () -> Result) -> Result {
        var listener = Self.listener
        isSeen = unsafe quiesce_reference_watch_begin(
            watch, Unmanaged.passUnretained(watcher).toOpaque(), &listener)
        defer { if isSeen { quiesce_reference_watch_end() } }
        return body()
    }

    func beginExecution(_ matters: [UInt]) {
        if !weakOnes.isEmpty { weakOnes.removeAll() }
        ends.removeAll()
        guard matters != types else { return }
        types = matters
        unsafe quiesce_reference_watch_clear(watch)
        for type in types { set(type, quiesce_type_matters) }
    }

    /// What is known of a type until the next execution.
    private func set(_ type: UInt, _ standing: quiesce_type_standing) {
        // Where there is no room, it is asked about again.
        _ = unsafe quiesce_reference_watch_set(
            watch, UnsafeRawPointer(bitPattern: type)!, standing)
    }

    func matters(_ type: UInt) -> Bool { types.contains(type) }

    func isOrdinary(_ type: UInt) { set(type, quiesce_type_ordinary) }

    subscript(weak: UInt) -> WeakOne? {
        get { weakOnes[weak] }
        set { weakOnes[weak] = newValue }
    }

    // MARK: Ends

    func begin(_ end: End) { ends.append(end) }

    /// The end of `object` is over. Nil where it is not known to have begun.
    func finish(_ object: UInt) -> End? {
        var index = ends.count - 1
        while index >= 0, ends[index].object != object { index -= 1 }
        guard index >= 0 else { return nil }
        let end = ends[index]
        while index < ends.count - 1 {
            ends[index] = ends[index + 1]
            index += 1
        }
        ends.truncate(to: ends.count - 1)
        return end
    }

    var hasOpenEnds: Bool { ends.count > 0 }

    func update(_ body: (inout End) -> Void) {
        for index in 0..<ends.count { body(&ends[index]) }
    }

    /// Those that have begun and are not over.
    var open: [End] { (0..<ends.count).map { ends[$0] } }

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
            ends: { watcher, object, size, type, weak in
                unsafe told(watcher) {
                    $0.objectEnds(
                        UInt(bitPattern: object), size, UInt(bitPattern: type), weak: weak)
                }
            },
            ended: { watcher, object in
                unsafe told(watcher) { $0.objectHasEnded(UInt(bitPattern: object)) }
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

/// The runtime tells `watcher`, who is a scheduler.
private func told(_ watcher: UnsafeMutableRawPointer, _ hear: (Scheduler) -> Void) {
    unsafe Unmanaged<Scheduler>.fromOpaque(watcher)._withUnsafeGuaranteedRef(hear)
}
