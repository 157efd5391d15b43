// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

/// Laurent Pinchart, "Why is `devm_kzalloc()` harmful and what can we do about it", Linux Plumbers
/// Conference, September 2022.
///
/// A managed resource is released when its driver is unbound, and not, "by magic, at the right
/// time". Files that user space has open, and consumers in the kernel, outlive that. The talk names
/// the bugs that follow and the options that the kernel has. The broken forms run on a model of the
/// driver core; the forms called `-kernel` are the talk's options, or what the kernel does since.
/// The forms called `-repaired` use Quiesce's own types, and those called `-devices` the device
/// model, which is made of them.
enum DevmHarmful {
    static let text = "devm-kzalloc-harmful"

    static let stories: [Story] =
        [
            CloseAfterUnbind.broken, CloseAfterUnbind.asTheKernelDoes, CloseAfterUnbind.repaired,
            EmptyRelease.broken, EmptyRelease.asTheKernelDoes, EmptyRelease.repaired,
            OneObjectLifetime.broken, OneObjectLifetime.asTheKernelDoes, OneObjectLifetime.repaired,
            IoctlUnderUnbind.broken, IoctlUnderUnbind.asTheKernelDoes, IoctlUnderUnbind.repaired,
            ReadSleepsOverUnbind.broken, ReadSleepsOverUnbind.asTheKernelDoes,
            ReadSleepsOverUnbind.repaired,
            OpenAgainstUnregister.broken, OpenAgainstUnregister.asTheKernelDoes,
            OpenAgainstUnregister.repaired,
            ManagedRegistration.broken, ManagedRegistration.asTheKernelDoes,
            ManagedRegistration.repaired,
            PowerBeforeInterrupt.broken, PowerBeforeInterrupt.asTheKernelDoes,
            PowerBeforeInterrupt.repaired,
            MixedManagement.broken, MixedManagement.asTheKernelDoes, MixedManagement.repaired,
            ClockRemoved.broken, ClockRemoved.asTheKernelDoes, ClockRemoved.repaired,
            GPIORemoved.broken, GPIORemoved.asTheKernelDoes, GPIORemoved.repaired,
            RegulatorRemoved.broken, RegulatorRemoved.asTheKernelDoes, RegulatorRemoved.repaired,
            NeverFree.broken,
            ManagedMapping.asTheKernelDoes, ManagedMapping.repaired,
            PhysmapConversion.broken, PhysmapConversion.asTheKernelDoes, PhysmapConversion.repaired,
            MT9P031Conversion.before, MT9P031Conversion.after, MT9P031Conversion.errorPath,
            OwnershipGraph.broken, OwnershipGraph.asTheKernelDoes, OwnershipGraph.repaired,
        ] + WithDeviceModel.stories
}
