// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

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
        RegistrationAnswer.broken, RegistrationAnswer.repaired,
        FileReference.broken, FileReference.repaired,
        SleepingRelease.broken, SleepingRelease.repaired,
        DetachInCallback.broken, DetachInCallback.repaired,
        UnregisterInSignal.broken, UnregisterInSignal.repaired,
        UnregisterNeighbour.broken, UnregisterNeighbour.repaired,
        UnregisterAnother.broken, UnregisterAnother.repaired,
        Repair.everybodyAtOnce,
        NotifierRepair.everybodyAtOnce, NotifierRepair.hangUpAgainstDetach,
        NotifierRepair.signalAgainstDetach,
        NotifierRepair.detachInCallback, NotifierRepair.detachInSignal,
        NotifierRepair.detachNeighbour, NotifierRepair.detachAnother,
        NotifierRepair.sleepingCallback, NotifierRepair.fileReference,
    ]
}
