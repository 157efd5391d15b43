// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "users",
    products: [.library(name: "Users", targets: ["Users"])],
    dependencies: [.package(name: "quiesce", path: "../..")],
    targets: [
        .target(
            name: "Users",
            dependencies: [
                .product(name: "Quiesce", package: "quiesce"),
                .product(name: "Substrate", package: "quiesce"),
            ]),
        .executableTarget(
            name: "UserStories",
            dependencies: [
                "Users", .product(name: "Explorer", package: "quiesce"),
                .product(name: "QuiesceStories", package: "quiesce"),
            ]),
        .testTarget(
            name: "UsersTests",
            dependencies: ["Users", .product(name: "QuiesceTesting", package: "quiesce")]),
    ],
    swiftLanguageModes: [.v6]
)
