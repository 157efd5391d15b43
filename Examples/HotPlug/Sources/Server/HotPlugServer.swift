// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOExtras
import NIOPosix
public import ServiceLifecycle

/// Serves the devices of a hub to clients of a Unix socket, which keep them open as long as they
/// like: also longer than the device is there.
public struct HotPlugServer: Service {
    private let path: String
    private let hub: Hub
    private let isReady: @Sendable () -> Void

    /// - Parameters:
    ///   - path: of the socket. One that is left from an earlier run is replaced.
    ///   - isReady: called when clients can connect.
    public init(path: String, hub: Hub, isReady: @escaping @Sendable () -> Void = {}) {
        self.path = path
        self.hub = hub
        self.isReady = isReady
    }

    /// Serves until the service is shut down; then takes all devices away.
    public func run() async throws {
        let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ByteToMessageHandler(LineBasedFrameDecoder()))
                    return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel)
                }
            }
        isReady()
        await withDiscardingTaskGroup { group in
            do {
                try await server.executeThenClose { clients in
                    for try await client in clients.cancelOnGracefulShutdown() {
                        group.addTask { await serve(client) }
                    }
                }
            } catch { print("the server ends: \(error)") }
            group.cancelAll()
        }
        try await hub.bus.close()
    }

    /// Serves a client until it hangs up. A hang-up ends what the client waits for.
    private func serve(_ client: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async {
        let closed = client.channel.closeFuture
        do {
            try await client.executeThenClose { lines, replies in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // While a line waits for a device the next one is not read.
                    group.addTask {
                        try await withTaskCancellationHandler {
                            try await closed.get()
                        } onCancel: {
                            client.channel.close(promise: nil)
                        }
                    }
                    group.addTask {
                        // The files that it leaves open are closed when it ends.
                        var session = Session(hub)
                        for try await line in lines {
                            let answer = try await session.answer(String(buffer: line))
                            try await replies.write(ByteBuffer(string: answer + "\n"))
                        }
                    }
                    try await group.next()
                    group.cancelAll()
                }
            }
        } catch {
            // The client has hung up in the middle of something, or the server ends.
        }
    }
}
