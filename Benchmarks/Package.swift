// swift-tools-version: 6.1
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "quiesce-benchmarks",
    dependencies: [
        .package(name: "quiesce", path: ".."),
        // Without its traits: they put counting functions in the place of the runtime's retain and
        // release, and of malloc.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    ],
    targets: [
        .target(name: "CPeers"),
        .target(
            name: "Cases",
            dependencies: [
                "CPeers", .product(name: "DeviceModel", package: "quiesce"),
                .product(name: "Quiesce", package: "quiesce"),
                .product(name: "Substrate", package: "quiesce"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        // The benchmark plugin runs every executable in a folder that lies in one called
        // Benchmarks: so this does, and Ratios does not.
        .executableTarget(
            name: "Primitives",
            dependencies: ["Cases", .product(name: "Benchmark", package: "benchmark")],
            path: "Primitives", plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .executableTarget(name: "Ratios", dependencies: ["Cases"]),
    ]
)
