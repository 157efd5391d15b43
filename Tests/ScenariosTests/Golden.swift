// SPDX-License-Identifier: Apache-2.0

/// Counterexamples as a reader sees them.
enum Golden {
    static let publishedPatch = """
        ✗ "as published: hang-up against unregister"                                   eventfd-notifier-race

          use after free: client freed en at step 19; closer used en.ops at step 20
          schedule 2 · 1 preemption (fewest possible) · 18 of 21 events shown

            │ main                   │ closer                 │ client              │ en
        ────┼────────────────────────┼────────────────────────┼─────────────────────┼───────────
          1 │ allocate en          ● │                        │                     │ alive
          2 │ lock ctx.wqh.lock held │                        │                     │
          3 │ change ctx.wqh.list    │                        │                     │
          4 │ unlock ctx.wqh.lock    │                        │                     │
          5 │ lock ctx.wqh.lock held │                        │                     │
          6 │ ctx.count → 0          │                        │                     │
          7 │ unlock ctx.wqh.lock    │                        │                     │
          8 │ ctx.kref 1→2           │                        │                     │
          9 │ en.eventfd = ctx       │                        │                     │
         10 │ en.flags 0→1           │                        │                     │ flags 0→1
         11 │                        │ lock ctx.wqh.lock held │                     │
         12 │                        │ ctx.wqh.list → [en]    │                     │
         13 │                        │ en.flags 1→0           │                     │ flags 1→0
         14 │                        │ en.eventfd → ctx       │                     │
         15 │                        │ change ctx.wqh.list    │                     │
         16 │                        │ ctx.kref 2→1           │                     │
            │                        │ ⋯ preempted ⋯          │                     │
         17 │                        │                        │ en.flags 0→0        │ flags 0→0
         18 │                        │                        │ unregister returned │
         19 │                        │                        │ free en           ◆ │ freed
         20 │                        │ en.ops → functions   ✗ │                     │

          Steps 19 and 20 are unordered: no lock, reference or grace period keeps one before the other.

          ● alloc  EventfdContext.swift:84   let notifier = Storage.allocate(EventfdNotifier(operations), n…
          ◆ free   PublishedPatch.swift:27   unsafe notifier.free()
          ✗ read   PatchedEventfd.swift:38   notifier.pointee.operations.load().release(notifier)

          replay   quiesce replay published-patch TOKEN
        """

    static let sleepingRelease = """
        ✗ "release callback sleeps under the lock"                                     eventfd-notifier-race

          deadlock: closer waits for client.lock, held by client; client waits for ctx.wqh.lock, held by
          closer
          schedule 5 · 1 preemption (fewest possible) · 28 events

            │ main                   │ closer                    │ client                │ waiting
        ────┼────────────────────────┼───────────────────────────┼───────────────────────┼──────────────────
          1 │ lock ctx.wqh.lock held │                           │                       │
          2 │ change ctx.wqh.list    │                           │                       │
          3 │ unlock ctx.wqh.lock    │                           │                       │
          4 │ lock ctx.wqh.lock held │                           │                       │
          5 │ ctx.count → 0          │                           │                       │
          6 │ unlock ctx.wqh.lock    │                           │                       │
          7 │ ctx.kref 1→2           │                           │                       │
          8 │ first.eventfd = ctx    │                           │                       │
          9 │ first.flags 0→1        │                           │                       │
         10 │ lock ctx.wqh.lock held │                           │                       │
         11 │ change ctx.wqh.list    │                           │                       │
         12 │ unlock ctx.wqh.lock    │                           │                       │
         13 │ lock ctx.wqh.lock held │                           │                       │
         14 │ ctx.count → 0          │                           │                       │
         15 │ unlock ctx.wqh.lock    │                           │                       │
         16 │ ctx.kref 2→3           │                           │                       │
         17 │ second.eventfd = ctx   │                           │                       │
         18 │ second.flags 0→1       │                           │                       │
         19 │                        │ lock ctx.wqh.lock    held │                       │
         20 │                        │ ctx.wqh.list → [first, s… │                       │
         21 │                        │ first.flags 1→0           │                       │
         22 │                        │ first.eventfd → ctx       │                       │
         23 │                        │ change ctx.wqh.list       │                       │
         24 │                        │ ctx.kref 3→2              │                       │
         25 │                        │ first.ops → functions     │                       │
            │                        │ ⋯ preempted ⋯             │                       │
         26 │                        │                           │ lock client.lock held │
         27 │                        │                           │ second.flags 1→0      │
         28 │                        │                           │ second.eventfd → ctx  │
         29 │                        │ lock client.lock        ⧗ │                       │ closer on client
         30 │                        │                           │ lock ctx.wqh.lock   ⧗ │ client on closer

          ⧗ closer  SleepingRelease.swift:27   lock.lock()
          ⧗ client  EventfdContext.swift:114   context.pointee.lock.lock()

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
         11 │                │                      │ wake wq.length: wo… │                   │
         12 │                │                      │ unlock sk.lock      │                   │
         13 │                │                      │                     │ lock sk.lock held │
         14 │                │                      │                     │ unlock sk.lock    │
         15 │                │                      │                     │ free ctx        ◆ │ freed
         16 │                │ woken                │                     │                   │
         17 │                │ lock wq.lock    held │                     │                   │
         18 │                │ ctx.func → functi… ✗ │                     │                   │

          Steps 15 and 18 are unordered: no lock, reference or grace period keeps one before the other.

          ● alloc  KernelItem.swift:31         let item = Storage.allocate(KernelItem(function), name: name)
          ◆ free   CancelThenFree.swift:27     unsafe context.free()
          ✗ read   KernelWorkqueue.swift:222   let function = item.pointee.function.load()

          replay   quiesce replay cancel-then-free TOKEN
        """
}
