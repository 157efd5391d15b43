// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Runs `body` in a forked child, which has this thread alone, and returns the child's exit status;
/// nil when it was killed.
package func forkedChild(_ body: () -> Void) -> Int32? {
    typealias Fork = @convention(c) () -> pid_t
    let fork = unsafe unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
    let child = fork()
    if child == 0 {
        // A child that hangs is killed by its alarm rather than waited for. Threads of Dispatch block
        // the signal.
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGALRM)
        unsafe sigprocmask(SIG_UNBLOCK, &signals, nil)
        alarm(20)
        body()
        _exit(0)
    }
    var status: Int32 = 0
    guard unsafe waitpid(child, &status, 0) == child, status & 0x7f == 0 else { return nil }
    return (status >> 8) & 0xff
}

/// Runs `body` on a thread that Substrate did not make and waits for its end.
package func onForeignThread(_ body: @escaping @Sendable () -> Void) {
    let start = unsafe Unmanaged.passRetained(Start(body)).toOpaque()
    var thread = pthread_t()
    let error = unsafe pthread_create(
        &thread, nil,
        {
            unsafe Unmanaged<Start>.fromOpaque($0!).takeRetainedValue().body()
            return nil
        }, start)
    precondition(error == 0)
    pthread_join(thread, nil)
}

private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
