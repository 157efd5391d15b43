// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The bytes of addresses and of memory that the process has; nil where the system does not tell.
package func processMemory() -> (size: Int, resident: Int)? {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return nil }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard unsafe fgets(&line, 128, file) != nil else { return nil }
    let fields = String(
        decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self
    ).split(
        separator: " ")
    guard fields.count > 1, let size = Int(fields[0]), let resident = Int(fields[1]) else {
        return nil
    }
    let page = sysconf(Int32(_SC_PAGESIZE))
    return (size * page, resident * page)
}
