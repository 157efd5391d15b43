// SPDX-License-Identifier: Apache-2.0

/// An error of a system call or of a function of the kernel.
enum KernelError: Error, CustomStringConvertible {
    /// The device is gone.
    case noDevice
    /// Nothing is registered there.
    case noSuchDevice
    /// The hardware does not answer.
    case inputOutput

    var description: String {
        switch self {
        case .noDevice: "ENODEV"
        case .noSuchDevice: "ENXIO"
        case .inputOutput: "EIO"
        }
    }

    /// The error of a call; nil if it succeeds.
    static func of(_ call: () throws(KernelError) -> Void) -> KernelError? {
        do throws(KernelError) {
            try call()
            return nil
        } catch {
            return error
        }
    }
}
