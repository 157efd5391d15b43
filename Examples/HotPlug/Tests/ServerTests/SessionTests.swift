// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Testing

@testable import Server

@Suite struct SessionTests {
    @Test func `a client reads what it wrote, until the device is unplugged`() async throws {
        let hub = try await Hub()
        var session = Session(hub)
        #expect(try await session.answer("plug video0") == "ok")
        #expect(try await session.answer("list") == "ok video0")
        #expect(try await session.answer("open video0") == "ok 1")
        #expect(try await session.answer("write 1 hello there") == "ok 11")
        #expect(try await session.answer("count 1") == "ok 11")
        #expect(try await session.answer("poll 1") == "ok readable")
        #expect(try await session.answer("read 1 5") == "ok hello")
        #expect(try await session.answer("unplug video0") == "ok")
        #expect(
            try await session.answer("read 1 5")
                == "error video0 is gone, and so read did nothing")
        #expect(try await session.answer("poll 1") == "ok hang-up")
        #expect(try await session.answer("close 1") == "ok")
        #expect(try await session.answer("close 1") == "error file 1 is not open")
        #expect(hub.counts.isNothingLeft)
    }

    @Test func `a read that waits is told that the device is gone`() async throws {
        let hub = try await Hub()
        try await hub.plug("video0")
        async let answer = {
            var session = Session(hub)
            _ = try await session.answer("open video0")
            return try await session.answer("read 1 5")
        }()
        while hub.directory["video0"]?.openCount == 0 { await Task.yield() }
        try await hub.unplug("video0")
        #expect(try await answer == "error video0 is gone, and so read did nothing")
        #expect(hub.counts.isNothingLeft)
    }

    @Test func `what a client leaves open is closed`() async throws {
        let hub = try await Hub()
        try await hub.plug("video0")
        do {
            var session = Session(hub)
            #expect(try await session.answer("exclusive video0") == "ok 1")
            #expect(
                try await session.answer("open video0")
                    == "error video0 is in use, and so opening did nothing")
        }
        #expect(hub.directory["video0"]?.openCount == 0)
        try await hub.bus.close()
        #expect(hub.counts.isNothingLeft)
    }

    @Test(arguments: ["", "fly", "read 1", "read x 1", "read 1 -1", "unplug video9", "open video9"])
    func `a line that makes no sense is answered`(_ line: String) async throws {
        var session = Session(try await Hub())
        #expect(try await session.answer(line).hasPrefix("error "))
    }
}
