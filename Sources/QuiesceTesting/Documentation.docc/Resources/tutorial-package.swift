// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "bank",
    dependencies: [.package(path: "../quiesce")],
    targets: [
        .target(name: "Bank"),
        .testTarget(
            name: "BankTests",
            dependencies: ["Bank", .product(name: "QuiesceTesting", package: "quiesce")]),
    ]
)
