// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#elseif canImport(Darwin)
    import Darwin
#endif

/// Finds the source line of an address with the toolchain's `llvm-symbolizer`, kept running as one
/// process.
///
/// Asked only when a failure is put into words. Without the tool nothing has a place.
enum Symbolizer {
    /// One function at an address: that of the code itself, or one that was inlined there. A name
    /// as the linker knows it.
    struct Function: Sendable {
        var name: String
        var path: String
        var line: UInt
    }

    /// The place of the innermost of these functions that is in source at hand. `isReturn` says
    /// that they are return addresses, which lie behind the call. `isUsers` leaves out what is in
    /// the library that waits on the user's behalf.
    static func place(of frames: [UInt], isReturn: Bool, isUsers: Bool = false) -> CodePlace? {
        for frame in frames {
            for function in functions(at: isReturn ? frame - 1 : frame) {
                let path = function.path
                if function.line == 0 || path.contains("/@__swiftmacro")
                    || path.hasPrefix("@__swiftmacro")
                    || ownFolders.contains(where: path.hasPrefix)
                    || isUsers && libraryFolders.contains(where: path.hasPrefix)
                {
                    continue
                }
                guard unsafe access(path, R_OK) == 0 else { continue }
                return CodePlace(
                    function: FunctionName.shortened(FunctionName.demangled(function.name)),
                    path: path, line: function.line)
            }
        }
        return nil
    }

    /// The functions at an address, innermost first.
    static func functions(at address: UInt) -> [Function] {
        cache.withLock { cache in
            if let known = cache[address] { return known }
            let found = ask(address)
            cache[address] = found
            return found
        }
    }

    /// Where the explorer itself is: its functions are not what a reader looks for.
    private static let ownFolders = folders([
        "Explorer", "CInstrumentation", "CSubstrate", "QuiesceTesting",
    ])
    /// Where the primitives are.
    private static let libraryFolders = folders(["Substrate", "Quiesce", "DeviceModel"])

    private static func folders(_ targets: [String]) -> [String] {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return targets.map { parts.dropLast(3).joined(separator: "/") + "/\($0)/" }
    }

    /// Whether a file is one of the library's own.
    static func isLibrary(_ path: StaticString) -> Bool {
        let path = path.description
        return (ownFolders + libraryFolders).contains(where: path.hasPrefix)
    }

    // Not Substrate's locks: it may be asked on a fiber, of whose program this is no part.
    private static let cache = Synchronization.Mutex<[UInt: [Function]]>([:])
    private static let process = Synchronization.Mutex<Process?>(nil)

    private struct Process: Sendable {
        var input: Int32
        var output: Int32
    }

    private static func ask(_ address: UInt) -> [Function] {
        var offset: UInt = 0
        guard let file = unsafe quiesce_module_name(address, &offset) else { return [] }
        let module = unsafe String(cString: file)
        // The program itself may be named as it was called, by a path that no longer leads to it.
        let path = module.hasPrefix("/") ? module : "/proc/\(getpid())/exe"
        let answer: [String] = process.withLock { process in
            if process == nil { process = start() }
            guard let running = process else { return [] }
            guard write("\"\(path)\" 0x\(String(offset, radix: 16))\n", to: running.input) else {
                process = nil
                return []
            }
            return readAnswer(from: running.output)
        }
        // Pairs of lines: a function and its place.
        return stride(from: 0, to: answer.count - 1, by: 2).map { index in
            let parts = answer[index + 1].split(separator: ":")
            let line = parts.count >= 3 ? UInt(parts[parts.count - 2]) ?? 0 : 0
            return Function(
                name: answer[index], path: parts.dropLast(2).joined(separator: ":"), line: line)
        }
    }

    // MARK: The process

    private static func start() -> Process? {
        guard let tool = toolPath() else { return nil }
        var process = Process(input: -1, output: -1)
        let arguments = [tool, "--functions=linkage", "--inlines", "--no-demangle"]
        var pointers: [UnsafeMutablePointer<CChar>?] =
            unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe quiesce_start_tool(&pointers, &process.input, &process.output) ? process : nil
    }

    /// Beside the compiler, if that is in the search path; else wherever that path has it.
    private static func toolPath() -> String? {
        guard let search = unsafe getenv("PATH") else { return nil }
        let folders = unsafe String(cString: search).split(separator: ":").map(String.init)
        let places = folders.filter { unsafe access($0 + "/swiftc", X_OK) == 0 } + folders
        return places.map { $0 + "/llvm-symbolizer" }.first { unsafe access($0, X_OK) == 0 }
    }

    private static func write(_ text: String, to file: Int32) -> Bool {
        var text = text
        return text.withUTF8 { unsafe Glibc.write(file, $0.baseAddress!, $0.count) == $0.count }
    }

    /// Lines up to an empty one.
    private static func readAnswer(from file: Int32) -> [String] {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while unsafe read(file, &byte, 1) == 1 {
            if byte == 10, bytes.last == 10 || bytes.isEmpty { break }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
