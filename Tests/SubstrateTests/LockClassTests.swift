// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@Suite struct LockClassTests {
    @Test func `locks that one line makes are of one class`() {
        let classes = (0..<2).map { _ in Mutex(0).lockClass }
        #expect(classes[0] == classes[1])
        let other = Mutex(0).lockClass
        #expect(other != classes[0])
        #expect(RWLock(0).lockClass != other)
    }

    @Test func `no two lines of a file have one number`() {
        let numbers = Set((1...20_000).map { LockClass(Site(#filePath, $0)).number })
        #expect(numbers.count == 20_000)
    }

    @Test func `the lines of several files are told apart`() {
        let files: [StaticString] = ["a.swift", "b.swift", "c.swift", "d.swift", #filePath]
        let numbers = files.flatMap { file in
            (1...1000).map { LockClass(Site(file, $0)).number }
        }
        #expect(Set(numbers).count == numbers.count)
    }

    @Test func `a lock grows only where its value has a smaller alignment than its words`() {
        #expect(MemoryLayout<Mutex<Int>>.size == 16)
        #expect(MemoryLayout<Mutex<String>>.size == 24)
        #expect(MemoryLayout<Mutex<[Int]>>.size == 16)
        #expect(MemoryLayout<Mutex<(Double, Bool)>>.size == 17)
        #expect(MemoryLayout<Mutex<Int32>>.size == 12, "8 without the class")
        #expect(MemoryLayout<Mutex<Void>>.size == 8, "4 without the class")
        #expect(MemoryLayout<RWLock<Int>>.size == 40)
        #expect(MemoryLayout<RWLock<Int32>>.size == 36, "32 without the class")
    }

    @Test func `a place is known of locks that are made once somebody listens`() async {
        await #expect(processExitsWith: .success) {
            findPlaces()
        }
    }

    @Test func `an observer makes places known too`() async {
        await #expect(processExitsWith: .success) {
            precondition(Mutex(0).lockClass.site == nil)
            _ = RecordingObserver()
            precondition(Mutex(0).lockClass.site?.line == UInt(#line))
        }
    }

    @Test func `a full table of places forgets nothing and takes no more`() async {
        await #expect(processExitsWith: .success) {
            _ = RecordingListener()
            let classes = (1...20_000).map { LockClass(Site(#filePath, $0)) }
            let known = classes.enumerated().filter { $0.element.site != nil }
            precondition(known.count > 7000 && known.count <= 8192, "\(known.count)")
            precondition(known.allSatisfy { $0.element.site?.line == UInt($0.offset + 1) })
        }
    }

    @Test func `a line too large for the table has a class all the same`() async {
        await #expect(processExitsWith: .success) {
            _ = RecordingListener()
            let far = LockClass(Site(#filePath, 100_000))
            precondition(far.site == nil && far != LockClass(Site(#filePath, 34_464)))
        }
    }
}

private func makeEarly() -> LockClass { Mutex(0).lockClass }

// Not in the test itself: all lines of an exit test's body count as the one where it begins.
private func findPlaces() {
    let early = makeEarly()
    precondition(early.site == nil)
    let listener = RecordingListener()
    let mutex = Mutex(0)
    let line = #line - 1
    precondition(mutex.lockClass.site?.line == UInt(line))
    precondition(mutex.lockClass.site?.file.hasSuffix("LockClassTests.swift") == true)
    precondition(RWLock(0).lockClass.site?.line == UInt(#line))
    precondition(LockClass(number: early.number).site == nil)
    precondition(makeEarly().site != nil && early.site != nil, "the same place, now")
    withExtendedLifetime(listener) {}
}
