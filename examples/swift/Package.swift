// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "device",
    platforms: [.macOS(.v12)],
    dependencies: [.package(name: "cloudsignal", path: "../../sdk-ffi/swift")],
    targets: [
        .executableTarget(name: "Device", dependencies: [.product(name: "CloudSignal", package: "cloudsignal")])
    ]
)
