// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "OtherPlatforms",
    dependencies: [.package(name: "quiesce", path: "../..")],
    targets: [
        .testTarget(
            name: "OtherPlatformsTests",
            dependencies: [
                .product(name: "Quiesce", package: "quiesce"),
                .product(name: "QuiesceTesting", package: "quiesce"),
            ])
    ]
)
