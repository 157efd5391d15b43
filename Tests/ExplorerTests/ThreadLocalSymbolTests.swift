// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Testing

/// Where the runtime is linked statically, its thread-locals are found by their names in the
/// symbol table of the program's file.
@Suite struct ThreadLocalSymbolTests {
    /// A file with a symbol table, as a linker writes it.
    struct File {
        struct Symbol {
            var name: String
            var value: UInt64
            /// 6 is that of thread-local variables, 1 that of others.
            var type: UInt8 = 6
            /// 0 where the symbol is another file's.
            var section: UInt16 = 1
        }

        var symbols: [Symbol]
        /// 2 is a symbol table; 11 the one of the dynamic linker, which stays in a stripped file.
        var tableType: UInt32 = 2

        var bytes: [UInt8] {
            var texts: [UInt8] = [0]
            var table: [UInt8] = [UInt8](repeating: 0, count: 24)
            for symbol in symbols {
                table += word(UInt32(texts.count)) + [symbol.type, 0] + word(symbol.section)
                table += word(symbol.value) + word(UInt64(8))
                texts += Array(symbol.name.utf8) + [0]
            }
            let sections = 3
            let textsAt = 64 + sections * 64
            let tableAt = textsAt + texts.count
            var file: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
            file += word(UInt16(3)) + word(UInt16(62)) + word(UInt32(1))
            file += word(UInt64(0)) + word(UInt64(0)) + word(UInt64(64))
            file += word(UInt32(0)) + word(UInt16(64)) + word(UInt16(0)) + word(UInt16(0))
            file += word(UInt16(64)) + word(UInt16(sections)) + word(UInt16(0))
            file += section(type: 0, at: 0, size: 0, link: 0)
            file += section(type: tableType, at: tableAt, size: table.count, link: 2)
            file += section(type: 3, at: textsAt, size: texts.count, link: 0)
            return file + texts + table
        }

        private func section(type: UInt32, at: Int, size: Int, link: UInt32) -> [UInt8] {
            word(UInt32(0)) + word(type) + word(UInt64(0)) + word(UInt64(0)) + word(UInt64(at))
                + word(UInt64(size)) + word(link) + word(UInt32(0)) + word(UInt64(1))
                + word(UInt64(24))
        }

        private func word<Word: FixedWidthInteger>(_ value: Word) -> [UInt8] {
            (0..<MemoryLayout<Word>.size).map { UInt8(truncatingIfNeeded: value >> Word($0 * 8)) }
        }
    }

    /// The offsets of `one` and `two` in the file, or nil.
    private func offsets(in bytes: [UInt8]) -> [UInt64]? {
        var found: [UInt64] = [0, 0]
        let isFound = unsafe "one".withCString { one in
            unsafe "two".withCString { two in
                let names: [UnsafePointer<CChar>] = unsafe [one, two]
                return unsafe bytes.withUnsafeBytes { bytes in
                    unsafe quiesce_find_thread_locals(
                        bytes.baseAddress!, bytes.count, names, &found, 2)
                }
            }
        }
        return isFound ? found : nil
    }

    @Test func `thread-local variables are found by their names`() {
        let file = File(symbols: [
            .init(name: "other", value: 1), .init(name: "two", value: 0x20),
            .init(name: "one", value: 7, type: 1), .init(name: "one", value: 0x10),
            .init(name: "two", value: 3, section: 0), .init(name: "twofold", value: 5),
        ])
        #expect(offsets(in: file.bytes) == [0x10, 0x20])
    }

    @Test func `a name that is missing, or there twice, is not taken for found`() {
        #expect(offsets(in: File(symbols: [.init(name: "one", value: 8)]).bytes) == nil)
        let twice = File(symbols: [
            .init(name: "one", value: 8), .init(name: "two", value: 16),
            .init(name: "two", value: 24),
        ])
        #expect(offsets(in: twice.bytes) == nil)
    }

    @Test func `nothing is found in a stripped file, or in none`() {
        let symbols: [File.Symbol] = [.init(name: "one", value: 8), .init(name: "two", value: 16)]
        #expect(offsets(in: File(symbols: symbols).bytes) == [8, 16])
        #expect(offsets(in: File(symbols: symbols, tableType: 11).bytes) == nil)
        #expect(offsets(in: Array("#!/bin/sh\n".utf8)) == nil)
    }

    @Test func `a file that was cut anywhere is read no further than its end`() {
        let bytes = File(symbols: [.init(name: "one", value: 8), .init(name: "two", value: 16)])
            .bytes
        for count in 1..<bytes.count {
            #expect(offsets(in: Array(bytes[..<count])) == nil)
        }
    }

    @Test func `a runtime of libraries is not taken for one that is linked in`() {
        #expect(!quiesce_runtime_is_linked_in())
    }
}
