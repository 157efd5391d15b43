// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// What is known of a trap, in words.
@safe
struct TrapReport {
    private let trap: quiesce_trap
    private let isOverflow: Bool

    /// - Parameter fiber: what trapped; nil for a thread that is not explored.
    init(_ trap: quiesce_trap, fiber: Fiber?) {
        self.trap = trap
        isOverflow = trap.address != 0 && fiber?.contains(trap.address) == true
    }

    /// Whether the watchdog stopped the thread.
    var isStuck: Bool { trap.signal == quiesce_trap_stuck }

    /// Whether a checked continuation found that it had been resumed before.
    var isSecondResume: Bool { isIn("CheckedContinuation.resume") }

    /// Whether a lock of the standard library found that its thread holds it already.
    var isSecondLock: Bool { isIn("_MutexHandle") }

    /// Whether it happened in a function whose name has this in it, be it one that was inlined.
    private func isIn(_ name: String) -> Bool {
        addresses.prefix(8).contains { address in
            Symbolizer.functions(at: address).contains {
                FunctionName.demangled($0.name).contains(name)
            }
        }
    }

    func sentence(thread: String) -> String {
        if isSecondResume { return "\(thread) resumed a continuation that had been resumed before" }
        let place = function.map { " in \($0)" } ?? ""
        if isStuck {
            return
                "\(thread) did nothing that Substrate sees for too long\(place): it blocks or loops outside Substrate"
                + stack
        }
        if isOverflow { return "\(thread) overflowed its stack\(place)" }
        let cause =
            switch trap.signal {
            case 4, 5: "trapped"
            case 6: "aborted"
            case 8: "divided by zero or overflowed"
            case 7, 11: "accessed memory at an invalid address"
            default: "was stopped by signal \(trap.signal)"
            }
        return "\(thread) \(cause)\(place)"
    }

    /// The instruction that trapped, and the calls that led to it, innermost first. What a frame
    /// returns to may be in another function, if the call never returns.
    private var addresses: [UInt] {
        var trap = trap
        let depth = Int(trap.depth)
        let frames = unsafe withUnsafeBytes(of: &trap.frames) {
            unsafe Array($0.bindMemory(to: UInt.self).prefix(depth))
        }
        return [trap.instruction] + frames.map { $0 - 1 }
    }

    /// The innermost function that is not the runtime's own way to report an error.
    private var function: String? {
        for address in addresses {
            guard let name = TrapReport.symbol(address) else { continue }
            if name.hasPrefix("Swift.")
                || name.hasPrefix("closure #1") && name.contains(" in Swift.")
            {
                continue
            }
            if [
                "abort", "raise", "gsignal", "pthread_kill", "__pthread_kill_implementation",
                "syscall",
                "__assert_fail",
            ].contains(name) {
                continue
            }
            return FunctionName.shortened(name)
        }
        return nil
    }

    private var stack: String {
        let names = addresses.compactMap(TrapReport.symbol).prefix(8).map(FunctionName.shortened)
        return names.isEmpty ? "" : " [" + names.joined(separator: " ← ") + "]"
    }

    private static func symbol(_ address: UInt) -> String? {
        var offset: UInt = 0
        if let name = unsafe quiesce_symbol_name(address, &offset) {
            return FunctionName.demangled(unsafe String(cString: name))
        }
        // What is not exported only a debugger's eye sees.
        guard let name = Symbolizer.functions(at: address).last?.name, name != "??" else {
            return nil
        }
        return FunctionName.demangled(name)
    }
}
