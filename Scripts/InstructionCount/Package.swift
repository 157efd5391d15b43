// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "InstructionCount",
    dependencies: [.package(name: "quiesce", path: "../..")],
    targets: [
        .executableTarget(
            name: "InstructionCount",
            dependencies: [.product(name: "Substrate", package: "quiesce")])
    ]
)
