// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Substrate

/// Character devices by their names, as in `/dev`.
public final class DeviceDirectory<Operations: FileOperations>: Sendable {
    private let nodes = Mutex<[String: CharacterDevice<Operations>]>([:])

    /// - Parameter name: what traces call it.
    public init(name: String = "directory") { nodes.label(name) }

    /// The names, in alphabetical order.
    public var names: [String] { nodes.withLock { $0.keys.sorted() } }

    /// The node of this name.
    public subscript(name: String) -> CharacterDevice<Operations>? {
        nodes.withLock { $0[name] }
    }

    /// Opens a file of the node of this name.
    ///
    /// - Throws: as `CharacterDevice.openNow`; `.noDevice` when there is no such node.
    public func openNow(
        _ name: String, _ sharing: CharacterDevice<Operations>.Sharing = .shared
    ) throws -> OpenFile<Operations> {
        guard let node = self[name] else {
            throw QuiesceError.noDevice(of: name, operation: "opening")
        }
        return try node.openNow(sharing)
    }

    func insert(_ node: CharacterDevice<Operations>) throws(QuiesceError) {
        let isNew = nodes.withLock { nodes in
            guard nodes[node.name] == nil else { return false }
            nodes[node.name] = node
            return true
        }
        guard isNew else { throw .exists(node.name) }
    }

    func remove(_ node: CharacterDevice<Operations>) {
        _ = nodes.withLock { $0.removeValue(forKey: node.name) }
    }
}
