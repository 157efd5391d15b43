// SPDX-License-Identifier: Apache-2.0

import Explorer
import Foundation
import QuiesceStories
import Testing

@testable import Scenarios

@Suite struct StoryTests {
    private func report(_ story: Story, _ strategy: ExplorationOptions.Strategy = .optimal) throws
        -> ExplorationReport
    {
        var options = ExplorationOptions(strategy: strategy)
        options.stopsAtFirstFailure = false
        if strategy == .depthFirst { options.executionLimit = 5_000 }
        return try story.exploration(options: options).run()
    }

    @Test(arguments: Catalogue.stories.map(\.name))
    func `every story ends as it should`(name: String) throws {
        let story = try #require(Catalogue.stories(named: name).first)
        let report = try report(story)
        #expect(story.isAsExpected(report), "\(report)")
        #expect(report.coverage == .all && report.blocked == 0)
        // A thread that waits in a loop for what never comes does not end even when its waits are
        // granted.
        let waitsInLoop = [.lostWakeUp, .deadlock].contains(story.expected)
        #expect(report.abandonedThreads == 0 || waitsInLoop)
    }

    @Test(arguments: Catalogue.stories.map(\.name))
    func `depth-first search agrees`(name: String) throws {
        let story = try #require(Catalogue.stories(named: name).first)
        let reduced = try report(story)
        let full = try report(story, .depthFirst)
        // The largest has too many interleavings to run them all here.
        guard full.coverage == .all else { return }
        #expect(Set(reduced.verdicts.keys) == Set(full.verdicts.keys))
        #expect(full.executions >= reduced.executions)
    }

    /// What the counterexample says, and a line of the story that it shows.
    private struct Cause: Sendable, CustomTestStringConvertible {
        let story: Story
        let sentences: [String]

        init(_ story: Story, _ sentences: String...) {
            self.story = story
            self.sentences = sentences
        }

        var testDescription: String { story.name }
    }

    private static let causes = [
        Cause(
            SurrogateObject.broken, "rmmod freed module", "closer used module.text",
            "_ = module.pointee.text.load()"),
        Cause(
            SleepingRelease.broken, "closer waits for client.lock, held by client",
            "client waits for ctx.wqh.lock, held by closer"),
        Cause(
            RegistrationAnswer.broken,
            "client waits on signal heard and nobody is left to wake it"),
        Cause(
            UnregisterInSignal.broken, "signaller waits for ctx.wqh.lock, which it holds itself"),
        Cause(
            UnregisterNeighbour.broken, "signaller waits for ctx.wqh.lock, which it holds itself"),
        Cause(UnregisterAnother.broken, "signaller freed", "closer used", "unregister returned"),
        Cause(
            RecycledAddress.broken, "allocate second where first was",
            "put behind worker 1",
            "worker 1 waits for second, which is in line on worker 1 behind itself"),
        Cause(
            RecycledAddress.sameFunction, "allocate second where first was",
            "put behind worker 1",
            "worker 1 waits for second, which is in line on worker 1 behind itself"),
        Cause(RequeueAndDrop.broken, "worker freed dev", "worker used dev.func"),
        Cause(QueueWhileDestroying.broken, "dev was allocated", "never freed", "destroyed"),
        Cause(
            DestroyInside.broken, "worker waits for wq, whose items run on itself",
            "destroy_workqueue"),
    ]

    private static let devmCauses = [
        Cause(
            CloseAfterUnbind.broken, "hotplug freed state", "user space used state.streaming",
            "cdev_add video0", "open video0", "unbind", "close"),
        Cause(
            EmptyRelease.broken, "refcount_t: underflow of video0.kref", "video0.kref 1→2",
            "video0.kref = 1"),
        Cause(
            OneObjectLifetime.broken, "hotplug freed state", "user space used state.streaming",
            "open video1", "video1.kref 2→1", "video0.kref 1→0"),
        Cause(
            IoctlUnderUnbind.broken, "hotplug freed registers",
            "user space used registers.status", "video0.flags → 1", "video0.flags 1→0"),
        Cause(
            ReadSleepsOverUnbind.broken,
            "user space waits on frames and nobody is left to wake it",
            "hotplug cannot go on either", "video0.active 3→2"),
        Cause(
            OpenAgainstUnregister.broken, "hotplug freed video0",
            "user space changed video0.kref", "video0.kref → 1"),
        Cause(
            ManagedRegistration.broken, "hotplug freed buffer", "user space used buffer.streaming",
            "remove returned", "open video0"),
        Cause(
            PowerBeforeInterrupt.broken, "register read without power", "domain.power 1→0",
            "lock irq.lock"),
        Cause(
            MixedManagement.broken, "hotplug freed state", "interrupt used state.streaming",
            "remove returned"),
        Cause(
            ClockRemoved.broken, "hotplug freed clk_hw", "consumer used clk_hw.register",
            "clk_unregister", "clk.ops → provider's"),
        Cause(
            GPIORemoved.broken, "hotplug freed chip", "consumer used chip.register",
            "gdev.chip → 1", "gdev.chip = 0"),
        Cause(
            RegulatorRemoved.broken, "hotplug freed reg_data", "consumer used reg_data.register",
            "WARN_ON(open_count)", "regulator_enable"),
        Cause(NeverFree.broken, "state was allocated", "never freed", "free video0"),
        Cause(
            PhysmapConversion.broken, "region 0 was allocated", "never freed", "free region 1"),
        Cause(
            MT9P031Conversion.before, "hotplug freed sensor", "user space used sensor.streaming",
            "gpio_free", "remove returned"),
        Cause(
            MT9P031Conversion.after, "hotplug freed sensor", "user space used sensor.streaming",
            "gpio_free", "remove returned"),
        Cause(
            OwnershipGraph.broken, "state was allocated", "never freed", "release video1",
            "video0.kref 2→1"),
    ]

    @Test(arguments: causes + devmCauses)
    private func `a counterexample shows its cause`(cause: Cause) throws {
        let found = try #require(try report(cause.story).counterexample)
        let rows = found.trace.rows.map(\.text) + found.trace.sources.compactMap(\.text)
        let words = ([found.trace.sentence] + rows).joined(separator: "\n")
        for sentence in cause.sentences {
            #expect(words.contains(sentence), "\(sentence) is not in\n\(words)")
        }
    }

    @Test func `names are unique and every broken form of a pair has its repair`() {
        let names = Catalogue.stories.map(\.name)
        #expect(Set(names).count == names.count)
        // Stories whose text repairs them elsewhere, or not at all.
        let single = ["published-patch", "never-free", "mt9p031"]
        for story in Catalogue.stories
        where story.form == .broken && !single.contains(where: story.name.hasPrefix) {
            #expect(names.contains(story.name + "-repaired"), "\(story.name)")
            let hasKernelForm = story.text == DevmHarmful.text
            #expect(!hasKernelForm || names.contains(story.name + "-kernel"), "\(story.name)")
        }
    }

    /// The counterexample that the README quotes, to the letter.
    @Test func `the published patch's counterexample reads as it should`() throws {
        let story = PublishedPatch.hangUpAgainstUnregister
        let found = try #require(try report(story).counterexample)
        let style = TraceStyle(
            title: story.title, location: story.text, replay: "quiesce replay \(story.name) TOKEN")
        let text = TraceRenderer(style).render(found)
        #expect(text == Golden.publishedPatch)
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 })
    }

    /// The trace in the article of the device model, but for its token.
    @Test func `the article shows the trace that is found`() throws {
        let story = CloseAfterUnbind.broken
        let found = try #require(try report(story).counterexample)
        let style = TraceStyle(
            title: story.title, location: story.text, replay: "quiesce replay \(story.name) TOKEN")
        let text = TraceRenderer(style).render(found)
        let article = try String(
            contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(
                    "Sources/DeviceModel/Documentation.docc/WhenTheDeviceGoesFirst.md"),
            encoding: .utf8)
        let shown = text.split(separator: "\n").filter { !$0.contains("TOKEN") }
        for line in shown { #expect(article.contains(line), "\(line)") }
    }

    @Test func `the sleeping release's counterexample reads as it should`() throws {
        let story = SleepingRelease.broken
        let found = try #require(try report(story).counterexample)
        let style = TraceStyle(
            title: story.title, location: story.text, replay: "quiesce replay \(story.name) TOKEN")
        #expect(TraceRenderer(style).render(found) == Golden.sleepingRelease)
    }

    @Test func `the counterexample of cancelling and freeing reads as it should`() throws {
        let story = CancelThenFree.broken
        let found = try #require(try report(story).counterexample)
        let style = TraceStyle(
            title: story.title, location: story.text, replay: "quiesce replay \(story.name) TOKEN")
        #expect(TraceRenderer(style).render(found) == Golden.cancelThenFree)
    }

    /// What the operations of primitives are taken for does not change what a story leads to.
    @Test(arguments: WorkqueueSelfFree.stories.map(\.name))
    func `looked at finely, a story leads to the same`(name: String) throws {
        let story = try #require(Catalogue.stories(named: name).first)
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.granularity = .fine
        let fine = try story.exploration(options: options).run()
        #expect(story.isAsExpected(fine), "\(fine)")
        #expect(Set(fine.verdicts.keys) == Set(try report(story).verdicts.keys))
    }
}
