// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Logging
import Quiesce
import Server
import ServiceLifecycle

@main
struct HotPlug: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hot-plug",
        abstract: "Devices behind a Unix socket, which come and go while clients have them open.",
        discussion: """
            Without a command it serves. Then, for example:
              printf 'open video0\\n' | nc -U hot-plug.socket
            A client says a line and reads one. `help` names the words.
            """,
        subcommands: [Serve.self, Client.self, Stress.self], defaultSubcommand: Serve.self)
}

struct Socket: ParsableArguments {
    @Option(help: "The socket's path.") var socket = "hot-plug.socket"

    /// A server that ends at SIGTERM or SIGINT.
    func server(of hub: Hub, isReady: @escaping @Sendable () -> Void) -> ServiceGroup {
        ServiceGroup(
            services: [HotPlugServer(path: socket, hub: hub, isReady: isReady)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: Logger(label: "hot-plug"))
    }
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve until SIGTERM or SIGINT; then take all devices away.")

    @OptionGroup var socket: Socket
    @Argument(help: "The devices that are there at first.") var devices = ["video0", "video1"]

    func run() async throws {
        let hub = try await Hub()
        for name in devices { try await hub.plug(name) }
        let path = socket.socket
        try await socket.server(of: hub) { print("serving at \(path)") }.run()
        guard hub.counts.isNothingLeft else {
            throw failure("something was left open")
        }
        print("nothing is left")
    }
}

/// Says a sentence on standard error, and returns what the command ends with.
func failure(_ sentence: String, _ code: ExitCode = .failure) -> ExitCode {
    FileHandle.standardError.write(Data("hot-plug: \(sentence)\n".utf8))
    return code
}

/// A connection for lines, as a client has it.
final class Line {
    private let handle: Int32
    private var rest: [UInt8] = []

    struct Ended: Error {}
    /// As `sysexits.h` has it.
    static let nobodyServes = ExitCode(69)

    init(_ path: String) throws {
        handle = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard handle >= 0 else { throw POSIXError(.EMFILE) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw failure("the path \(path) is too long for a socket")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(handle, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let reason = String(cString: strerror(errno))
            throw failure("nobody serves at \(path): \(reason)", Self.nobodyServes)
        }
    }

    deinit { close(handle) }

    /// Says a line, and returns the answer.
    func ask(_ line: String) throws -> String {
        let bytes = Array((line + "\n").utf8)
        guard send(handle, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw Ended()
        }
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                defer { rest.removeSubrange(...end) }
                return String(decoding: rest[..<end], as: UTF8.self)
            }
            var chunk = [UInt8](repeating: 0, count: 4_096)
            let count = recv(handle, &chunk, chunk.count, 0)
            guard count > 0 else { throw Ended() }
            rest += chunk.prefix(count)
        }
    }
}

struct Client: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Open, use and close devices at random until the server ends.")

    @OptionGroup var socket: Socket
    @Option(help: "Decides what it does.") var seed: UInt64 = 1

    func run() throws {
        var generator = Generator(state: seed)
        let line = try Line(socket.socket)
        var files: [Substring] = []
        do {
            while true {
                let names = try line.ask("list").split(separator: " ").dropFirst()
                if let name = names.randomElement(using: &generator) {
                    let answer = try line.ask("open \(name)").split(separator: " ")
                    if answer.count == 2, answer[0] == "ok" { files.append(answer[1]) }
                }
                for file in files {
                    try expect(line.ask("write \(file) hello"), file)
                    try expect(line.ask("count \(file)"), file)
                    // It may wait for what another client writes, or for the end of the device.
                    if Int.random(in: 0..<4, using: &generator) == 0 {
                        try expect(line.ask("read \(file) 3"), file)
                    }
                }
                while files.count > 3 {
                    let answer = try line.ask("close \(files.removeFirst())")
                    guard answer == "ok" else { throw failure("close: \(answer)") }
                }
            }
        } catch is Line.Ended {}
    }

    private func expect(_ answer: String, _ file: Substring) throws {
        guard answer.hasPrefix("ok") || answer.contains("is gone") else {
            throw failure("file \(file): \(answer)")
        }
    }

    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 31)
        }
    }
}

struct Stress: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve clients in processes of their own, which are killed at random.")

    @OptionGroup var socket: Socket
    @Option(help: "How many clients there are at a time.") var clients = 8
    @Option(help: "How many devices there are.") var devices = 4
    @Option(help: "How often a device is unplugged and plugged in again.") var cycles = 10_000

    func validate() throws {
        guard clients > 0, devices > 0, cycles >= 0 else {
            throw ValidationError("there must be a client and a device, and no fewer than 0 cycles")
        }
    }

    func run() async throws {
        let hub = try await Hub()
        let names = (0..<devices).map { "video\($0)" }
        for name in names { try await hub.plug(name) }
        let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
        let path = socket.socket
        let group = socket.server(of: hub) { isReady.finish() }
        let serving = Task { try await group.run() }
        for await _ in ready {}

        var running: [Process] = []
        var seed: UInt64 = 0
        var (killed, wrong) = (0, 0)
        for cycle in 0..<cycles {
            while running.count < clients {
                seed += 1
                running.append(try start(seed))
            }
            let name = names[cycle % names.count]
            try await hub.unplug(name)
            try await hub.plug(name)
            if cycle % 97 == 0 {
                let victim = running.remove(at: cycle / 97 % running.count)
                kill(victim.processIdentifier, SIGKILL)
                victim.waitUntilExit()
                killed += 1
            }
            running.removeAll { process in
                guard !process.isRunning else { return false }
                wrong += 1
                return true
            }
        }
        await group.triggerGracefulShutdown()
        try await serving.value
        for process in running {
            process.waitUntilExit()
            // The last ones may have come too late.
            let codes = [0, Line.nobodyServes.rawValue]
            if !codes.contains(process.terminationStatus) { wrong += 1 }
        }
        print("\(cycles) cycles, \(killed) clients killed, \(wrong) of the others failed")
        guard wrong == 0, hub.counts.isNothingLeft else {
            throw failure("something went wrong, or was left open")
        }
        print("nothing is left")
    }

    private func start(_ seed: UInt64) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
        process.arguments = ["client", "--socket", socket.socket, "--seed", "\(seed)"]
        try process.run()
        return process
    }
}
