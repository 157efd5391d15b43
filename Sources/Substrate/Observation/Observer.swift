// SPDX-License-Identifier: Apache-2.0

public import CSubstrate

/// Watches the operations of a thread: a checker derives from this class and puts itself into a
/// thread's block.
///
/// An operation of a watched thread calls its observer instead of the processor's primitive. The
/// observer returns when the operation may happen; until then it may run other threads. This base
/// class lets everything happen at once.
open class Observer: @unchecked Sendable {
    // Unchecked: an observer is called by the threads that it watches, and by those alone.
    public init() { LockClass.wantSites() }

    /// Whether values are wanted as text (`describe`).
    /// Unchecked: an access ends before the next begins, all on the watched thread.
    @exclusivity(unchecked) public final var isRecording = false

    /// How an atomic operation goes on after `begin`.
    public enum Directive {
        /// The processor performs it; `end` follows.
        case perform
        /// A load takes this value from the thread's own store buffer; nothing follows. A
        /// compare-exchange takes what it finds for what it expected; `end` follows.
        case forward(Bits)
        /// The observer performed it, or swallowed it; nothing follows. An update that was
        /// swallowed says that it happened and changes nothing.
        case done
    }

    /// Performs an atomic operation of the word at `address`, which has at most eight bytes: what
    /// `begin`, the processor and `end` do together. Returns what it found; a compare-exchange that
    /// takes what it finds for what it expected returns the latter.
    ///
    /// - Parameters:
    ///   - operand: what a store writes, a read-modify-write combines, a compare-exchange expects.
    ///   - desired: what a compare-exchange writes.
    open func atomic(
        _ access: AtomicAccess, at address: UInt, _ operand: UInt64, _ desired: UInt64, _ site: Site
    ) -> UInt64 {
        let directive = begin(access, at: address, Bits(low: operand), site)
        switch directive {
        case .forward(let bits) where access.kind == .load: return bits.low
        case .done where access.kind == .compareExchange: return operand
        default: break
        }
        let found = access.load(address)
        if case .done = directive { return found }
        var result = access.result(found, operand, desired)
        var answer = found
        if case .forward = directive {
            result = desired
            answer = operand
        }
        if let result { access.store(result, address) }
        end(
            old: Bits(low: found), new: Bits(low: result ?? found), wrote: result != nil)
        return answer
    }

    /// An atomic operation of what is at `address` is about to happen. `operand` is what a store
    /// writes, or what a compare-exchange expects.
    open func begin(_ access: AtomicAccess, at address: UInt, _ operand: Bits, _ site: Site)
        -> Directive
    { .perform }
    /// The atomic operation that began last on this thread happened.
    open func end(old: Bits, new: Bits, wrote: Bool) {}
    /// The value that the last operation read or wrote, as text; called only while recording.
    open func describe(old: String, new: String) {}

    /// Locks (`.lock`, `.tryLock`) or unlocks (`.unlock`) the mutex at `address`. Says whether a
    /// try succeeded.
    open func mutex(_ kind: OperationKind, at address: UInt, _ site: Site) -> Bool { true }

    /// Performs an operation that needs no processor primitive, or that waits. The result says
    /// whether a try succeeded, and for a wait whether it ended before its deadline.
    open func perform(_ operation: Operation) -> Bool { true }

    /// Performs an operation of an object that brings its state machine, and returns what it
    /// answers.
    open func perform(
        _ operation: UInt8, _ argument: UInt64, of machine: ObjectMachine, at address: UInt,
        from initial: Bits, _ site: Site
    ) -> UInt64 { 0 }

    /// Whether the world of the watched thread has ended, so that its service threads end.
    open var isOver: Bool { false }

    /// A spin loop begins to evaluate its condition.
    open func spinBegins() {}
    /// The condition held: the thread waits until something that it read is written.
    open func spinWaits(at site: Site) {}

    /// The condition was false: the loop is over.
    open func spinEnds() {}

    /// The life of an object at `address` begins, whatever was there before; `label` follows while
    /// recording.
    open func sight(_ address: UInt) {}
    /// Gives the object at `address` a name.
    open func label(_ address: UInt, _ name: String) {}
    /// The name of the memory at `address`, if it has one.
    open func name(ofStorageAt address: UInt) -> String? { nil }
    /// The name of the thread with this number, if it has one.
    open func name(ofThread number: UInt32) -> String? { nil }

    /// Starts a thread; the result identifies it for `join`.
    open func spawn(name: String, isService: Bool, _ body: @escaping @Sendable () -> Void) -> UInt {
        0
    }
    /// The numbers of the threads that have started so far.
    open func threads(at site: Site) -> [UInt32] { [] }

    /// Allocates manually managed memory. `destroy` ends the value's life; the memory is the
    /// observer's.
    open func allocate(
        size: Int, alignment: Int, name: String, site: Site,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) -> UnsafeMutableRawPointer {
        .allocate(byteCount: size, alignment: alignment)
    }

    /// The manually managed life of an object begins; `.free` ends it, and `destroy` lets go of the
    /// object. What is at `count` may be used all the same.
    open func adopt(
        _ address: UInt, size: Int, except count: UInt, name: String, site: Site,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) {}

    /// What is labelled between the two is a part of the subject at `address`.
    open func subject(_ address: UInt, begins: Bool) {}
    /// Between the two, what is at `address` counts as a part of the operation's subject, which
    /// tells all about it.
    open func cover(_ address: UInt, begins: Bool) {}
    /// An operation of a primitive begins, on the subject at `address`. Operations nest.
    open func operationBegins(_ name: StaticString, on address: UInt, writes: Bool, at site: Site) {
    }
    /// Whether the watched thread is inside of an operation.
    open var isInOperation: Bool { false }
    /// What the running operation has turned out to do; called only while recording. The last word
    /// counts.
    open func operationDoes(_ deed: String) {}
    /// The operation that began last ends.
    open func operationEnds() {}

    /// Something was used wrongly, in a way that the program survives.
    open func misuse(_ sentence: String, at site: Site) {}

    /// The time, in monotonic nanoseconds.
    open func now(at site: Site) -> UInt64 { 0 }

    /// A section that others may wait for begins or ends, on this thread (law: every wait is
    /// declared). `name` is what traces call what it is a section of.
    open func section(
        of waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {}
    /// The thread begins or ceases to wait for sections of a class.
    open func waits(for waitClass: WaitClass, _ name: () -> String, begins: Bool) {}
}

/// A value as a trace shows it: what an optional holds, and not more than a cell of a table has
/// room for.
@usableFromInline
func described<Value>(_ value: Value) -> String {
    // What describes a value holds it for a moment, which is none of the program's doings.
    quiesce_mute()
    defer { quiesce_unmute() }
    let mirror = Mirror(reflecting: value)
    guard mirror.displayStyle == .optional else { return "\(value)" }
    return mirror.children.first.map { described($0.value) } ?? "nil"
}

/// What every operation asks first: the observer of this thread, if it has one.
@usableFromInline
enum Watch {
    /// The observer of the running thread. One load from the thread's own cache line.
    @_transparent
    @usableFromInline
    static var observer: WatchingObserver? {
        guard let pointer = unsafe quiesce_current_block().pointee.observer else { return nil }
        return unsafe WatchingObserver(pointer)
    }

    /// Whether the running thread is registered and has neither an observer nor a listener. One
    /// load, as for the observer alone.
    @_transparent
    @usableFromInline
    static var isUnwatched: Bool { unsafe quiesce_current_block().pointee.token != 0 }

    /// Opens or closes a thread's fast paths. Called after a change of what they depend on.
    static func setFastPaths(of block: UnsafeMutablePointer<quiesce_block>) {
        let isOpen = unsafe block.pointee.observer == nil && block.pointee.listener == nil
        unsafe block.pointee.token = isOpen ? block.pointee.id : 0
        guard unsafe isOpen && block.pointee.row != nil && Membarrier.support == .expedited else {
            unsafe block.pointee.slots = nil
            return
        }
        unsafe block.pointee.slots = unsafe block.pointee.row
    }
}

/// The observer of a thread, without a reference of its own: the code that put it into the block
/// keeps it.
@safe
@frozen
@usableFromInline
struct WatchingObserver {
    @usableFromInline let reference: Unmanaged<Observer>

    @_transparent
    @usableFromInline
    init(_ pointer: UnsafeMutableRawPointer) { unsafe reference = .fromOpaque(pointer) }

    @inlinable
    @inline(__always)
    func with<Result>(_ body: (Observer) -> Result) -> Result {
        unsafe reference._withUnsafeGuaranteedRef(body)
    }

    @inlinable var isRecording: Bool { with { unsafe $0.isRecording } }

    @inlinable
    func atomic(
        _ access: AtomicAccess, at address: UInt, _ operand: UInt64, _ desired: UInt64, _ site: Site
    ) -> UInt64 {
        unsafe reference._withUnsafeGuaranteedRef {
            $0.atomic(access, at: address, operand, desired, site)
        }
    }

    @inlinable
    func begin(_ access: AtomicAccess, at address: UInt, _ operand: Bits, _ site: Site)
        -> Observer.Directive
    {
        unsafe reference._withUnsafeGuaranteedRef { $0.begin(access, at: address, operand, site) }
    }

    @inlinable
    func end(old: Bits, new: Bits, wrote: Bool) {
        with { $0.end(old: old, new: new, wrote: wrote) }
    }

    @inlinable
    func describe(old: String, new: String) { with { $0.describe(old: old, new: new) } }

    @inlinable
    func mutex(_ kind: OperationKind, at address: UInt, _ site: Site) -> Bool {
        with { $0.mutex(kind, at: address, site) }
    }

    @inlinable
    func perform(_ operation: Operation) -> Bool { with { $0.perform(operation) } }

    @usableFromInline
    func label(_ address: UInt, _ name: () -> String) {
        with { $0.sight(address) }
        if isRecording { with { $0.label(address, name()) } }
    }

    @usableFromInline
    func section(
        of waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {
        with { $0.section(of: waitClass, name, owner, begins: begins) }
    }

    @usableFromInline
    func waits(for waitClass: WaitClass, _ name: () -> String, begins: Bool) {
        with { $0.waits(for: waitClass, name, begins: begins) }
    }
}
