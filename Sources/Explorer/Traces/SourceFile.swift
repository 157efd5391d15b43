// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#elseif canImport(Darwin)
    import Darwin
#endif

/// The source of a step, as far as it can be read.
enum SourceFile {
    /// The last part of a path.
    static func name(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    /// One line of a file without its indentation, or nil where the file is not at hand.
    static func line(_ number: UInt, of path: String) -> String? {
        guard let file = unsafe fopen(path, "r") else { return nil }
        defer { unsafe fclose(file) }
        var buffer: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { unsafe free(buffer) }
        var current: UInt = 0
        while unsafe getline(&buffer, &capacity, file) >= 0 {
            current += 1
            guard current == number, let text = unsafe buffer else { continue }
            let line = unsafe String(cString: text)
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            return String(trimmed.prefix { $0 != "\n" && $0 != "\r\n" })
        }
        return nil
    }
}
