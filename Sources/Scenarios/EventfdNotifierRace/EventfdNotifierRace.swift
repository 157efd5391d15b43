// SPDX-License-Identifier: Apache-2.0

/// Gregory Haskins, "eventfd: add internal reference counting to fix notifier race conditions",
/// June 2009.
///
/// An eventfd tells its clients in the kernel that it is about to go away by a last wake-up,
/// POLLHUP. A client cannot hold the file (or that wake-up would never come), so it holds a pointer
/// without a reference; letting go of each other without a race is then hard. The text tells how it
/// was, what had been tried, and a patch.
enum EventfdNotifierRace {
    static let text = "eventfd-notifier-race"

    static let stories: [Story] = [
        LocklessHangUp.broken, LocklessHangUp.repaired,
        SurrogateObject.broken, SurrogateObject.repaired,
        PublishedPatch.hangUpAgainstUnregister, PublishedPatch.closeDuringRegister,
        PublishedPatch.signalAgainstUnregister,
        FileReference.broken, FileReference.repaired,
        SleepingRelease.broken, SleepingRelease.repaired,
        DetachInCallback.broken, DetachInCallback.repaired,
        Repair.everybodyAtOnce,
        NotifierRepair.everybodyAtOnce, NotifierRepair.hangUpAgainstDetach,
        NotifierRepair.signalAgainstDetach,
        NotifierRepair.detachInCallback,
        NotifierRepair.sleepingCallback, NotifierRepair.fileReference,
    ]
}
