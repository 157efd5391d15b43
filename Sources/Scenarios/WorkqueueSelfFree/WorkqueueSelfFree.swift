// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

/// Eli, "Linux kernel workqueues: Is it OK for the worker function to kfree its own work item?",
/// July 2024.
///
/// It is: once an item's function has been called, its memory belongs to its users. The text shows
/// how the worker is written for that, and says what is not allowed. The broken forms run on a
/// model of the kernel's queue, with a worker that was written with less care, or with a user that
/// asks too much of it; the repaired ones on Quiesce's `WorkQueue`.
enum WorkqueueSelfFree {
    static let text = "workqueue-self-free"

    static let stories: [Story] = [
        FreeItself.broken, FreeItself.asTheKernelDoes, FreeItself.repaired,
        FreedByWaiter.broken, FreedByWaiter.repaired,
        RequeueItself.broken, RequeueItself.repaired,
        RequeueAndDrop.broken, RequeueAndDrop.asTheKernelAllows, RequeueAndDrop.repaired,
        RequeueElsewhere.broken, RequeueElsewhere.repaired, RequeueElsewhere.locked,
        ReferenceBeforeQueueing.broken, ReferenceBeforeQueueing.repaired,
        RecycledAddress.broken, RecycledAddress.asTheKernelDoes, RecycledAddress.repaired,
        RecycledAddress.sameFunction, RecycledAddress.sameFunctionRepaired,
        QueueWhileDestroying.broken, QueueWhileDestroying.repaired,
        DestroyInside.broken, DestroyInside.repaired,
        CancelThenFree.broken, CancelThenFree.repaired,
        CancelAndWaitThenFree.broken, CancelAndWaitThenFree.repaired,
    ]
}
