// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// The names of functions, from what the linker knows to what a reader looks for.
enum FunctionName {
    /// The full name of a function, without the discriminators of private declarations:
    /// `Bank.Account.check()` for what is mangled from `Bank.(Account in _6D3A…).check()`.
    static func demangled(_ name: String) -> String {
        guard name.hasPrefix("$s") || name.hasPrefix("_$s") else { return name }
        guard let text = unsafe quiesce_demangle(name) else { return name }
        defer { unsafe quiesce_free_text(text) }
        return withoutDiscriminators(unsafe String(cString: text))
    }

    /// `NAME` for each `(NAME in _6D3A…)`: the number tells the file of a private declaration.
    static func withoutDiscriminators(_ name: String) -> String {
        var result = ""
        var rest = name[...]
        while let open = rest.firstIndex(of: "(") {
            result += rest[..<open]
            rest = rest[open...].dropFirst()
            guard let close = rest.firstIndex(where: { $0 == ")" || $0 == "(" }),
                rest[close] == ")", let middle = rest[..<close].range(of: " in _"),
                rest[middle.upperBound..<close].allSatisfy(\.isHexDigit)
            else {
                result += "("
                continue
            }
            result += rest[..<middle.lowerBound]
            rest = rest[close...].dropFirst()
        }
        return result + rest
    }

    /// `Account.withdraw(_:)` for `(2) suspend resume partial function for static
    /// Bank.Account.withdraw(_: Swift.Int) async -> ()`.
    static func shortened(_ name: String) -> String {
        var rest = name[...]
        for prefix in [
            " partial function for ", "partial apply for ", "partial apply forwarder for ",
            "protocol witness for ",
        ] {
            if let range = rest.range(of: prefix) { rest = rest[range.upperBound...] }
        }
        // What the optimizer has made of it.
        while let range = rest.range(of: "specialization <"),
            let end = rest[range.upperBound...].range(of: "> of ")
        {
            rest = rest[end.upperBound...]
        }
        var isClosure = false
        while true {
            if let prefix = ["static ", "merged ", "@objc ", "async "].first(where: rest.hasPrefix)
            {
                rest = rest.dropFirst(prefix.count)
            } else if rest.hasPrefix("(extension in "), let end = rest.range(of: "):") {
                rest = rest[end.upperBound...]
            } else if rest.hasPrefix("closure #") || rest.hasPrefix("implicit closure #"),
                let range = rest.range(of: " in ")
            {
                isClosure = true
                rest = rest[range.upperBound...]
            } else if let local = rest.range(of: " #"), let end = rest.range(of: " in "),
                local.upperBound < end.lowerBound, !rest[..<local.lowerBound].contains("(")
            {
                // A local function is where its outer one is.
                rest = rest[end.upperBound...]
            } else {
                break
            }
        }
        return outer(withoutTypes(rest), isClosure)
    }

    /// A function's name and the labels of its arguments.
    private static func withoutTypes(_ name: Substring) -> String {
        var result = ""
        var depth = 0
        var isLabel = true
        for character in name {
            switch character {
            case "(":
                depth += 1
                if depth == 1 {
                    result.append("(")
                    isLabel = true
                }
            case ")":
                depth -= 1
                if depth == 0 { return result + ")" }
            case ":" where depth == 1:
                if isLabel { result.append(":") }
                isLabel = false
            case "," where depth == 1: isLabel = true
            case " " where depth == 1: break
            case " " where depth == 0: return result
            default:
                if depth == 0 || depth == 1 && isLabel { result.append(character) }
            }
        }
        return result
    }

    /// Without the module, and with what is said of a closure.
    private static func outer(_ name: String, _ isClosure: Bool) -> String {
        let head = name.prefix { $0 != "(" }
        let parts = head.split(separator: ".")
        let short = parts.count > 1 ? parts.dropFirst().joined(separator: ".") : String(head)
        let result = short + name.dropFirst(head.count)
        return isClosure ? "a closure in \(result)" : result
    }
}

extension Substring {
    /// Where `text` is first found.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
