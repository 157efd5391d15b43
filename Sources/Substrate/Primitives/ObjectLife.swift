// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// The life of an object that its users count themselves.
///
/// It begins with a reference that is taken by hand and ends when that one is given back. While
/// explored, a late access to the Substrate objects inside it is a finding, but for the count,
/// which tells a late comer so; and so is an object whose life never ends. Its memory stays until
/// the execution is over.
@usableFromInline
package enum ObjectLife {
    // Usable from inlined code, so that the optimiser specialises the initializer of `Reference`
    // for the object that a client makes.
    /// Takes a reference to `object`, whose life begins.
    ///
    /// - Parameter endsUse: whether nobody may use what is in the object once its life has ended.
    @usableFromInline
    package static func begin<Object: AnyObject>(
        _ object: Object, countedBy count: borrowing Atomic<Int32>, endsUse: Bool = true,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Unmanaged<Object> {
        let reference = unsafe Unmanaged.passRetained(object)
        if let observer = Watch.observer {
            let pointer = unsafe reference.toOpaque()
            let size = unsafe endsUse ? quiesce_allocated_size(pointer) : 0
            let exempt = count.address
            observer.with {
                unsafe $0.adopt(
                    UInt(bitPattern: pointer), size: size, except: exempt,
                    name: "\(type(of: object))",
                    site: Site(file, line)
                ) { unsafe Unmanaged<Object>.fromOpaque($0).release() }
            }
        }
        return unsafe reference
    }

    /// Ends the life of an object and gives its reference back.
    ///
    /// - Important: `reference` came from `begin`, and its life has not ended yet.
    @unsafe
    package static func end<Object: AnyObject>(
        _ reference: Unmanaged<Object>, file: StaticString = #filePath, line: UInt = #line
    ) {
        if let observer = Watch.observer {
            let address = unsafe UInt(bitPattern: reference.toOpaque())
            let free = Operation(.free, address, .relaxed, site: Site(file, line))
            // The observer lets go of it later, unless the object's life began outside of its time.
            if observer.perform(free) { return }
        }
        unsafe reference.release()
    }
}
