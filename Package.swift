// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "quiesce",
    // Quiesce runs on Linux. On Apple's platforms it only compiles, and its API needs these.
    platforms: [.macOS(.v26), .iOS(.v26), .tvOS(.v26), .watchOS(.v26), .visionOS(.v26)],
    products: [
        .library(name: "Substrate", targets: ["Substrate"]),
        .library(name: "Quiesce", targets: ["Quiesce"]),
        .library(name: "DeviceModel", targets: ["DeviceModel"]),
        .library(name: "Explorer", targets: ["Explorer"]),
        .library(name: "QuiesceTesting", targets: ["QuiesceTesting"]),
        .library(name: "QuiesceStories", targets: ["QuiesceStories"]),
        .executable(name: "quiesce", targets: ["QuiesceCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0")
    ],
    targets: [
        .target(name: "CSubstrate"),
        .target(name: "CInstrumentation", dependencies: ["CSubstrate"]),
        .target(name: "Substrate", dependencies: ["CSubstrate"]),
        .target(name: "Quiesce", dependencies: ["Substrate"]),
        .target(name: "DeviceModel", dependencies: ["Quiesce", "Substrate"]),
        .target(
            name: "Explorer", dependencies: ["Substrate", "CSubstrate", "CInstrumentation"]),
        .target(name: "QuiesceTesting", dependencies: ["Explorer", "Quiesce", "CSubstrate"]),
        .target(
            name: "QuiesceStories",
            dependencies: [
                "Explorer", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(
            name: "Scenarios",
            dependencies: ["QuiesceStories", "DeviceModel", "Quiesce", "Substrate", "Explorer"]),
        .target(name: "Families", dependencies: ["Substrate", "Explorer"]),
        .executableTarget(
            name: "QuiesceCommand",
            dependencies: [
                "QuiesceStories", "Scenarios", "Families", "Explorer", "Quiesce",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(
            name: "Fuzzing", dependencies: ["Explorer", "Quiesce", "Substrate"],
            path: "Tests/Fuzzing"),
        .executableTarget(
            name: "FuzzExplorer",
            dependencies: [
                "Fuzzing", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Scripts/FuzzExplorer"),
        .executableTarget(
            name: "MutateExplorer",
            dependencies: [.product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Scripts/MutateExplorer"),
        .target(
            name: "TestSupport", dependencies: ["Substrate", "CSubstrate"],
            path: "Tests/TestSupport"),
        .target(
            name: "ExploringSupport", dependencies: ["Explorer", "Substrate"],
            path: "Tests/ExploringSupport"),
        .testTarget(
            name: "SubstrateTests", dependencies: ["TestSupport", "Substrate", "CSubstrate"]),
        .testTarget(
            name: "ExplorerTests",
            dependencies: [
                "TestSupport", "Explorer", "Fuzzing", "Families", "Substrate", "CSubstrate",
            ]),
        .testTarget(
            name: "QuiesceTests",
            dependencies: [
                "TestSupport", "ExploringSupport", "Quiesce", "Explorer", "Substrate",
                "CSubstrate",
            ]),
        .testTarget(
            name: "DeviceModelTests",
            dependencies: [
                "TestSupport", "ExploringSupport", "DeviceModel", "Quiesce", "Explorer",
                "Substrate",
            ]),
        .testTarget(
            name: "QuiesceTestingTests",
            dependencies: [
                "TestSupport", "QuiesceTesting", "Explorer", "Quiesce", "Substrate", "CSubstrate",
            ]),
        .executableTarget(
            name: "Checks", dependencies: ["QuiesceStories", "Explorer", "Substrate"],
            path: "Tests/Checks"),
        .testTarget(
            name: "ScenariosTests",
            dependencies: ["Checks", "Scenarios", "QuiesceStories", "Explorer"]),
        .testTarget(
            name: "QuiesceCommandTests", dependencies: ["QuiesceCommand"],
            resources: [.copy("Resources")]),
    ]
)

for target in package.targets where !["CSubstrate", "CInstrumentation"].contains(target.name) {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .enableUpcomingFeature("InferIsolatedConformances"),
        .enableUpcomingFeature("ImmutableWeakCaptures"),
        .enableExperimentalFeature("RawLayout"),
        .enableExperimentalFeature("Lifetimes"),
        .strictMemorySafety(),
        .treatAllWarnings(as: .error),
    ]
}
