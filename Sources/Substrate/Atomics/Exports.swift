// SPDX-License-Identifier: Apache-2.0

// A user's file changes one import: what the standard library's atomics need in their signatures
// comes along.
@_exported public import struct Synchronization.AtomicLoadOrdering
@_exported public import struct Synchronization.AtomicStoreOrdering
@_exported public import struct Synchronization.AtomicUpdateOrdering
@_exported public import struct Synchronization.WordPair
@_exported public import protocol Synchronization.AtomicRepresentable
