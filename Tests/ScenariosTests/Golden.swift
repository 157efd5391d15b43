// SPDX-License-Identifier: Apache-2.0

/// Counterexamples as a reader sees them.
enum Golden {
    static let publishedPatch = """
        ✗ "as published: hang-up against unregister"                                   eventfd-notifier-race

          use after free: client freed en at step 16; closer used en.ops at step 17
          schedule 2 · 1 preemption (fewest possible) · 15 of 18 events shown

            │ main                   │ closer                 │ client              │ en
        ────┼────────────────────────┼────────────────────────┼─────────────────────┼───────────
          1 │ allocate en          ● │                        │                     │ alive
          2 │ lock ctx.wqh.lock held │                        │                     │
          3 │ change ctx.wqh.list    │                        │                     │
          4 │ unlock ctx.wqh.lock    │                        │                     │
          5 │ ctx.kref 1→2           │                        │                     │
          6 │ en.eventfd = ctx       │                        │                     │
          7 │ en.flags 0→1           │                        │                     │ flags 0→1
          8 │                        │ lock ctx.wqh.lock held │                     │
          9 │                        │ ctx.wqh.list → [en]    │                     │
         10 │                        │ en.flags 1→0           │                     │ flags 1→0
         11 │                        │ en.eventfd → ctx       │                     │
         12 │                        │ change ctx.wqh.list    │                     │
         13 │                        │ ctx.kref 2→1           │                     │
            │                        │ ⋯ preempted ⋯          │                     │
         14 │                        │                        │ en.flags 0→0        │ flags 0→0
         15 │                        │                        │ unregister returned │
         16 │                        │                        │ free en           ◆ │ freed
         17 │                        │ en.ops → functions   ✗ │                     │

          Steps 16 and 17 are unordered: no lock, reference or grace period keeps one before the other.

          ● alloc  EventfdContext.swift:67   let notifier = Storage.allocate(EventfdNotifier(operations), n…
          ◆ free   PublishedPatch.swift:26   unsafe notifier.free()
          ✗ read   PatchedEventfd.swift:34   notifier.pointee.operations.load().release(notifier)

          replay   quiesce replay published-patch TOKEN
        """

    static let sleepingRelease = """
        ✗ "release callback sleeps under the lock"                                     eventfd-notifier-race

          deadlock: closer waits for client.lock, held by client; client waits for ctx.wqh.lock, held by
          closer
          schedule 3 · 1 preemption (fewest possible) · 15 events

            │ main                   │ closer                 │ client                │ waiting
        ────┼────────────────────────┼────────────────────────┼───────────────────────┼──────────────────
          1 │ ctx.kref 1→2           │                        │                       │
          2 │ en.eventfd = ctx       │                        │                       │
          3 │ en.flags 0→1           │                        │                       │
          4 │ lock ctx.wqh.lock held │                        │                       │
          5 │ change ctx.wqh.list    │                        │                       │
          6 │ unlock ctx.wqh.lock    │                        │                       │
          7 │                        │ lock ctx.wqh.lock held │                       │
          8 │                        │ ctx.wqh.list → [en]    │                       │
          9 │                        │ en.flags 1→0           │                       │
         10 │                        │ en.eventfd → ctx       │                       │
         11 │                        │ change ctx.wqh.list    │                       │
         12 │                        │ en.ops → functions     │                       │
            │                        │ ⋯ preempted ⋯          │                       │
         13 │                        │                        │ lock client.lock held │
         14 │                        │                        │ en.eventfd → ctx      │
         15 │                        │                        │ en.flags 0→0          │
         16 │                        │ lock client.lock     ⧗ │                       │ closer on client
         17 │                        │                        │ lock ctx.wqh.lock   ⧗ │ client on closer

          ⧗ closer  SleepingRelease.swift:22   lock.lock()
          ⧗ client  RepairedEventfd.swift:37   context.pointee.lock.lock()

          replay   quiesce replay sleeping-release TOKEN
        """

    static let cancelThenFree = """
        ✗ "cancel, then free, another enqueues"                                          workqueue-self-free

          use after free: teardown freed ctx at step 15; worker used ctx.func at step 18
          schedule 5 · 1 preemption (fewest possible) · 16 of 24 events shown

            │ main           │ worker               │ socket              │ teardown          │ ctx
        ────┼────────────────┼──────────────────────┼─────────────────────┼───────────────────┼─────────────
          1 │ allocate ctx ● │                      │                     │                   │ alive
          2 │                │ sleep while wq.leng… │                     │                   │
          3 │                │                      │ lock sk.lock   held │                   │
            │                │                      │ ⋯ preempted ⋯       │                   │
          4 │                │                      │                     │ lock wq.lock held │
          5 │                │                      │                     │ unlock wq.lock    │
          6 │                │                      │                     │ cancelled         │
          7 │                │                      │ lock wq.lock   held │                   │
          8 │                │                      │ ctx.pending 0→1     │                   │ pending 0→1
          9 │                │                      │ wq.length = 1       │                   │
         10 │                │                      │ unlock wq.lock      │                   │
         11 │                │                      │ wake all wq.length… │                   │
         12 │                │                      │ unlock sk.lock      │                   │
         13 │                │                      │                     │ lock sk.lock held │
         14 │                │                      │                     │ unlock sk.lock    │
         15 │                │                      │                     │ free ctx        ◆ │ freed
         16 │                │ woken                │                     │                   │
         17 │                │ lock wq.lock    held │                     │                   │
         18 │                │ ctx.func → functi… ✗ │                     │                   │

          Steps 15 and 18 are unordered: no lock, reference or grace period keeps one before the other.

          ● alloc  KernelItem.swift:27         let item = Storage.allocate(KernelItem(KernelFunction(call: …
          ◆ free   CancelThenFree.swift:26     unsafe context.free()
          ✗ read   KernelWorkqueue.swift:101   let function = item.pointee.function.load()

          replay   quiesce replay cancel-then-free TOKEN
        """
}
