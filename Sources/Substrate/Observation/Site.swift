// SPDX-License-Identifier: Apache-2.0

extension Observer {
    /// The place in the source that performs an operation.
    ///
    /// Every operation takes one as defaulted arguments. It costs nothing when nobody watches. Two
    /// words, so that it goes along in registers.
    public struct Site: Sendable, BitwiseCopyable, Hashable {
        /// Where the file's name is, which lasts as long as the program and ends with a zero; 0 for no
        /// name.
        public let fileAddress: UInt
        public let line: UInt

        @inlinable
        public init(_ file: StaticString, _ line: UInt) {
            // A name that is a single scalar is none of a file.
            fileAddress =
                file.hasPointerRepresentation ? UInt(bitPattern: unsafe file.utf8Start) : 0
            self.line = line
        }

        init(fileAddress: UInt, line: UInt) {
            self.fileAddress = fileAddress
            self.line = line
        }

        /// The file's name, as its module was compiled with.
        public var file: String {
            guard let start = unsafe UnsafePointer<CChar>(bitPattern: fileAddress) else {
                return ""
            }
            return unsafe String(cString: start)
        }
    }
}

@usableFromInline package typealias Site = Observer.Site
