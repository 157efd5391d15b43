// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// The hardware of a GPIO chip. Its functions may be called at the same time.
public protocol GPIOHardware: Sendable {
    var lineCount: Int { get }
    func level(of line: Int) throws -> Bool
    func setLevel(_ isHigh: Bool, of line: Int) throws
    func setDirection(_ direction: GPIOLine.Direction, of line: Int) throws
}

/// A chip whose lines a driver offers to others. Kernel counterpart: `struct gpio_chip`.
public final class GPIOChip: Provider {
    public let name: String
    public let gate: Gate

    fileprivate let hardware: any GPIOHardware
    /// The consumer of each line that is taken.
    private let consumers = Mutex<[Int: String]>([:])

    public init(name: String, _ hardware: any GPIOHardware) {
        self.name = name
        self.hardware = hardware
        gate = Gate(name: name)
        consumers.label(name + ".consumers")
    }

    public func end() {}

    /// Takes a line, which no other consumer has as long as this one keeps it. Kernel:
    /// `gpiod_request`.
    ///
    /// - Parameter consumer: the name of the one that takes it.
    /// - Throws: `.busy` when somebody has it; `.noDevice` when the chip has gone, or has no such
    ///   line.
    public func request(_ line: Int, by consumer: String) throws(QuiesceError) -> GPIOLine {
        let name = "\(name) line \(line)"
        guard !isGone, line >= 0, line < hardware.lineCount else {
            throw .noDevice(of: name, operation: "taking it")
        }
        let isFree = consumers.withLock { consumers in
            guard consumers[line] == nil else { return false }
            consumers[line] = consumer
            return true
        }
        guard isFree else { throw .busy(of: name, operation: "taking it for \(consumer)") }
        return GPIOLine(self, line)
    }

    /// The consumer of a line; nil when it is free.
    public func consumer(of line: Int) -> String? { consumers.withLock { $0[line] } }

    fileprivate func giveBack(_ line: Int) { consumers.withLock { $0[line] = nil } }
}

/// A line of a GPIO chip, as its consumer has it. It is given back when it ends. Kernel
/// counterpart: `struct gpio_desc`.
public final class GPIOLine: Sendable {
    private let chip: GPIOChip
    public let number: Int

    public enum Direction: Sendable, Equatable {
        case input
        case output(isHigh: Bool)
    }

    fileprivate init(_ chip: GPIOChip, _ number: Int) {
        self.chip = chip
        self.number = number
    }

    deinit { chip.giveBack(number) }

    /// Whether it is high.
    ///
    /// - Throws: what the hardware throws; `.noDevice` when the chip has gone.
    public func level() throws -> Bool {
        try chip.call("reading line \(number)") { try chip.hardware.level(of: number) }
    }

    /// - Throws: as `level`.
    public func setLevel(_ isHigh: Bool) throws {
        try chip.call("setting line \(number)") {
            try chip.hardware.setLevel(isHigh, of: number)
        }
    }

    /// - Throws: as `level`.
    public func setDirection(_ direction: Direction) throws {
        try chip.call("turning line \(number)") {
            try chip.hardware.setDirection(direction, of: number)
        }
    }
}
