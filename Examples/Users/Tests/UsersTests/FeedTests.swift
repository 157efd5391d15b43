// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct FeedTests {
    @Test(.everyInterleaving)
    func `a producer ends when its consumer is cancelled`() async {
        await cancelTheConsumer(of: Feed())
    }

    @Test(.finds(.leakedTask, at: "producer"), .everyInterleaving)
    func `the producer of a broken feed waits for ever`() async {
        await cancelTheConsumer(of: BrokenFeed())
    }

    private func cancelTheConsumer(of feed: some Feeding) async {
        Task(name: "producer") {
            var page = 1
            while await feed.offer(page) { page += 1 }
        }
        let consumer = Task(name: "consumer") {
            if !Task.isCancelled { _ = await feed.next() }
            await feed.finish()
        }
        consumer.cancel()
        await consumer.value
    }
}

private protocol Feeding: Actor {
    func offer(_ page: Int) async -> Bool
    func next() async -> Int?
    func finish()
}

extension Feed: Feeding {}
extension BrokenFeed: Feeding {}
