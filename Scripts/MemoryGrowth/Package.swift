// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "MemoryGrowth",
    dependencies: [.package(name: "quiesce", path: "../..")],
    targets: [
        .executableTarget(
            name: "MemoryGrowth",
            dependencies: [
                .product(name: "Explorer", package: "quiesce"),
                .product(name: "Substrate", package: "quiesce"),
            ])
    ]
)
