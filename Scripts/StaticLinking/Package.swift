// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "StaticLinking",
    dependencies: [.package(name: "quiesce", path: "../..")],
    targets: [
        .executableTarget(
            name: "StaticLinking",
            dependencies: [
                .product(name: "Explorer", package: "quiesce"),
                .product(name: "Substrate", package: "quiesce"),
            ])
    ]
)
