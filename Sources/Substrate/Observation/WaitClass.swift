// SPDX-License-Identifier: Apache-2.0

internal import CSubstrate

/// A kind of section that a thread can wait for: the entries of a gate, the items of a queue, a
/// grace period.
///
/// A primitive that can block declares its waits with `section(_:)` and `waiting(_:)`, so that an
/// observer or a listener sees them as the virtual locks they are. Unwatched, both are one
/// predicted branch.
///
/// What is waited for and where it was made tell a class, as the kernel's validator tells locks by
/// where they are initialised: all gates that one line makes are of one class. A class needs no
/// table. Only an observer or a listener asks for the name of the one gate.
public struct WaitClass: Sendable, Hashable {
    public let role: Role
    /// Where it was made.
    public let site: Observer.Site
    /// The one gate, queue or item that is meant, by a number that no other of its role has; 0
    /// where the class does not say. No part of the class's identity.
    public let instance: UInt

    /// What is waited for.
    public enum Role: UInt8, Sendable {
        /// The end of a thread.
        case thread
        /// What wakes a condition, or a wait queue.
        case condition, waitQueue
        /// The entries of a gate, and the destruction of a value behind one.
        case gate, destruction
        /// The items of a work queue, one item, and the functions of a group.
        case workQueue, workItem, workGroup
        /// The releases of a scope's resources.
        case release
        /// An event, room in an event, and the callbacks of an event's subscriptions.
        case event, room, callback
    }

    @inlinable
    public init(_ role: Role, _ site: Observer.Site, of instance: UInt = 0) {
        self.role = role
        self.site = site
        self.instance = instance
    }

    /// A class of things that are made wherever their kind is.
    @inlinable
    public init(_ role: Role, file: StaticString = #filePath, line: UInt = #line) {
        self.init(role, Site(file, line))
    }

    /// The class with the one gate, queue or item that is meant: an observer finds out which
    /// threads are inside of it, and so what a wait for it waits for.
    @inlinable
    public func of(_ instance: UInt) -> WaitClass { WaitClass(role, site, of: instance) }

    /// The class with the one object that is meant.
    @inlinable
    public func of(_ object: AnyObject) -> WaitClass {
        of(UInt(bitPattern: ObjectIdentifier(object)))
    }

    public static func == (one: WaitClass, other: WaitClass) -> Bool {
        one.role == other.role && one.site == other.site
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(role)
        hasher.combine(site)
    }

    /// Whose section it is.
    public enum Owner: Sendable, Hashable {
        case thread
        /// A task's, which may begin it on one thread and end it on another.
        case task(UInt)
    }

    /// A section of this class begins on the running thread, and ends with `end`. For scopes that
    /// are no closure.
    @inlinable
    public func begin(_ name: @autoclosure () -> String) {
        if _fastPath(Watch.isUnwatched) { return }
        tellSection(name, .thread, begins: true)
    }

    /// Ends the section that `begin` began.
    @inlinable
    public func end(_ name: @autoclosure () -> String) {
        if _fastPath(Watch.isUnwatched) { return }
        tellSection(name, .thread, begins: false)
    }

    /// As `begin`, of a section that belongs to the running task. Returns the task, for `end`; 0
    /// where there is none or nobody watches.
    public func beginOfTask(_ name: @autoclosure () -> String) -> UInt {
        if _fastPath(Watch.isUnwatched) { return 0 }
        guard Watch.observer != nil || PassiveListener.isListening else { return 0 }
        let task = unsafe UInt(bitPattern: quiesce_jobs_current())
        if task != 0 { tellSection(name, .task(task), begins: true) }
        return task
    }

    /// Ends the section of a task, on whatever thread.
    public func end(ofTask task: UInt, _ name: @autoclosure () -> String) {
        if task != 0 { tellSection(name, .task(task), begins: false) }
    }

    /// Runs `body` as a section of this class.
    @inlinable
    public func section<Result: ~Copyable, Failure: Error>(
        _ name: @autoclosure () -> String, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        begin(name())
        defer { end(name()) }
        return try body()
    }

    /// Runs `body`, which waits for the sections of this class that have begun.
    @inlinable
    public func waiting<Result: ~Copyable, Failure: Error>(
        _ name: @autoclosure () -> String, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        tellWait(name, isOfTask: false, begins: true)
        defer { tellWait(name, isOfTask: false, begins: false) }
        return try body()
    }

    /// Runs `body`, which waits for the sections of this class that have begun.
    @inlinable
    public func waiting<Result: ~Copyable, Failure: Error>(
        _ name: @autoclosure () -> String, _ body: () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        tellWait(name, isOfTask: true, begins: true)
        // Perhaps on another thread.
        defer { tellWait(name, isOfTask: true, begins: false) }
        return try await body()
    }
}

extension WaitClass {
    @inlinable
    @inline(__always)
    func tellWait(_ name: () -> String, isOfTask: Bool, begins: Bool) {
        if _fastPath(Watch.isUnwatched) { return }
        tellWaitSlow(name, isOfTask: isOfTask, begins: begins)
    }

    @usableFromInline
    @inline(never)
    func tellWaitSlow(_ name: () -> String, isOfTask: Bool, begins: Bool) {
        if let observer = Watch.observer {
            return observer.waits(for: self, name, begins: begins)
        }
        PassiveListener.tell {
            let task = isOfTask ? unsafe UInt(bitPattern: quiesce_jobs_current()) : 0
            $0.waits(for: self, name, task == 0 ? .thread : .task(task), begins: begins)
        }
    }

    @usableFromInline
    @inline(never)
    func tellSection(_ name: () -> String, _ owner: Owner, begins: Bool) {
        if let observer = Watch.observer {
            return observer.section(of: self, name, owner, begins: begins)
        }
        PassiveListener.tell { $0.section(of: self, name, owner, begins: begins) }
    }
}
