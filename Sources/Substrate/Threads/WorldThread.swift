// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// A thread of the operating system; while explored, a thread of the exploration.
///
/// `join` waits for its end. A thread that is not joined goes on by itself.
public struct WorldThread: ~Copyable, Sendable {
    private let handle: UInt
    private let isWatched: Bool
    private var isJoined = false
    /// Where it was started.
    private let site: Site
    private let name: String

    /// Starts a thread that runs `body`.
    ///
    /// - Parameters:
    ///   - name: what debuggers and traces call it; the kernel keeps 15 characters.
    ///   - isService: whether it serves others for ever. While explored, a service thread that waits
    ///     is neither a deadlock nor a leak.
    ///   - blocksSignals: whether signals that are sent to the process are left to other threads, as
    ///     suits a library's thread. Otherwise it takes those that the running thread takes.
    /// - Throws: `ThreadError.refused` when the system has no thread to give.
    public static func spawn(
        name: String = "thread", isService: Bool = false, blocksSignals: Bool = false,
        file: StaticString = #filePath, line: UInt = #line,
        _ body: @escaping @Sendable () -> Void
    ) throws(ThreadError) -> WorldThread {
        let site = Site(file, line)
        if let observer = Watch.observer {
            return WorldThread(
                handle: observer.with { $0.spawn(name: name, isService: isService, body) },
                isWatched: true, name, site)
        }
        var handle: UInt = 0
        let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        let error = unsafe name.withCString { name in
            unsafe quiesce_thread_start(
                &handle, name, blocksSignals, { unsafe Body.run($0!) }, context)
        }
        guard error == 0 else {
            unsafe Unmanaged<Body>.fromOpaque(context).release()
            throw .refused(error)
        }
        return WorldThread(handle: handle, isWatched: false, name, site)
    }

    private init(handle: UInt, isWatched: Bool, _ name: String, _ site: Site) {
        self.handle = handle
        self.isWatched = isWatched
        self.name = name
        self.site = site
    }

    deinit {
        if !isWatched && !isJoined { quiesce_thread_detach(handle) }
    }

    /// Waits until the thread has ended. What it did happens before the return.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    public consuming func join(file: StaticString = #filePath, line: UInt = #line) {
        isJoined = true
        WaitClass(.thread, site).waiting("the end of \(name)") { awaitEnd(file, line) }
    }

    private borrowing func awaitEnd(_ file: StaticString, _ line: UInt) {
        if isWatched {
            guard let observer = Watch.observer else {
                fatalError("an explored thread was joined from outside its exploration")
            }
            var operation = Operation(.join, 0, .acquiring, site: Site(file, line))
            operation.other = handle
            _ = BlockingObserver.told { observer.perform(operation) }
        } else {
            BlockingObserver.told { quiesce_thread_join(handle) }
        }
    }

    private final class Body: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }

        static func run(_ context: UnsafeMutableRawPointer) {
            World.registerCurrentThread()
            unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().body()
        }
    }
}
