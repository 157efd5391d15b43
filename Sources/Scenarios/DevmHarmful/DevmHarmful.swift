// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

/// Laurent Pinchart, "Why is `devm_kzalloc()` harmful and what can we do about it", Linux Plumbers
/// Conference, September 2022.
///
/// A managed resource is released when its driver is unbound, and not, "by magic, at the right
/// time". Files that user space has open, and consumers in the kernel, outlive that. The talk names
/// the bugs that follow and the options that the kernel has. The broken forms run on a model of the
/// driver core; the forms called `-kernel` are the talk's options, or what the kernel does since.
enum DevmHarmful {
    static let text = "devm-kzalloc-harmful"

    static let stories: [Story] = [
        CloseAfterUnbind.broken, CloseAfterUnbind.asTheKernelDoes,
        EmptyRelease.broken, EmptyRelease.asTheKernelDoes,
        OneObjectLifetime.broken, OneObjectLifetime.asTheKernelDoes,
        IoctlUnderUnbind.broken, IoctlUnderUnbind.asTheKernelDoes,
        ReadSleepsOverUnbind.broken, ReadSleepsOverUnbind.asTheKernelDoes,
        OpenAgainstUnregister.broken, OpenAgainstUnregister.asTheKernelDoes,
        ManagedRegistration.broken, ManagedRegistration.asTheKernelDoes,
        PowerBeforeInterrupt.broken, PowerBeforeInterrupt.asTheKernelDoes,
        MixedManagement.broken, MixedManagement.asTheKernelDoes,
        ClockRemoved.broken, ClockRemoved.asTheKernelDoes,
        GPIORemoved.broken, GPIORemoved.asTheKernelDoes,
        RegulatorRemoved.broken, RegulatorRemoved.asTheKernelDoes,
        NeverFree.broken,
        ManagedMapping.asTheKernelDoes,
        PhysmapConversion.broken, PhysmapConversion.asTheKernelDoes,
        MT9P031Conversion.before, MT9P031Conversion.after, MT9P031Conversion.errorPath,
        OwnershipGraph.broken, OwnershipGraph.asTheKernelDoes,
    ]
}
