// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
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
    /// that they are return addresses, which lie behind the call.
    static func place(of frames: [UInt], isReturn: Bool) -> CodePlace? {
        for frame in frames {
            for function in functions(at: isReturn ? frame - 1 : frame) {
                let path = function.path
                if function.line == 0 || path.contains("/@__swiftmacro")
                    || path.hasPrefix("@__swiftmacro")
                    || ownFolders.contains(where: path.hasPrefix)
                {
                    continue
                }
                guard unsafe access(path, R_OK) == 0 else { continue }
                return CodePlace(
                    function: shortened(TrapReport.demangled(function.name)), path: path,
                    line: function.line)
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
    private static let ownFolders: [String] = {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return ["Explorer", "CInstrumentation", "CSubstrate", "QuiesceTesting"].map {
            parts.dropLast(3).joined(separator: "/") + "/\($0)/"
        }
    }()

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

    // MARK: Names

    /// `Account.withdraw(_:)` for `(2) suspend resume partial function for Bank.Account.withdraw(_:
    /// Swift.Int) async -> ()`.
    static func shortened(_ name: String) -> String {
        var rest = name[...]
        if let range = rest.range(of: " partial function for ") { rest = rest[range.upperBound...] }
        if let range = rest.range(of: "partial apply for ") { rest = rest[range.upperBound...] }
        var isClosure = false
        while rest.hasPrefix("closure #") || rest.hasPrefix("implicit closure #") {
            isClosure = true
            guard let range = rest.range(of: " in ") else { break }
            rest = rest[range.upperBound...]
        }
        var result = ""
        var depth = 0
        var isLabel = true
        for character in rest {
            switch character {
            case "(":
                depth += 1
                if depth == 1 {
                    result.append("(")
                    isLabel = true
                }
            case ")":
                depth -= 1
                if depth == 0 {
                    result.append(")")
                    return outer(result, isClosure)
                }
            case ":" where depth == 1:
                if isLabel { result.append(":") }
                isLabel = false
            case "," where depth == 1: isLabel = true
            case " " where depth == 1: break
            case " " where depth == 0: return outer(result, isClosure)
            default:
                if depth == 0 || depth == 1 && isLabel { result.append(character) }
            }
        }
        return outer(result, isClosure)
    }

    /// Without the module, and with what is said of a closure.
    private static func outer(_ name: String, _ isClosure: Bool) -> String {
        let head = name.prefix { $0 != "(" }
        let parts = head.split(separator: ".")
        let short = parts.count > 1 ? parts.dropFirst().joined(separator: ".") : String(head)
        let result = short + name.dropFirst(head.count)
        return isClosure ? "a closure in \(result)" : result
    }
}

extension Substring {
    /// Where `text` is first found.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
