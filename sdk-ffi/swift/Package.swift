// swift-tools-version:5.9
import Foundation
import PackageDescription

// What calls the library, the library itself, and the layer that applications use. `cargo xtask swift` puts the generated
// sources into their folders first. On Apple's systems the library is a framework for every one of them, when
// xcframework.sh has made one; elsewhere it is the one of this machine: `swift build -Xlinker -LFOLDER`.
let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
let framework = "CloudSignalFFIBinary.xcframework"
let hasFramework = FileManager.default.fileExists(atPath: folder.appendingPathComponent(framework).path)

let binary: Target = hasFramework
    ? .binaryTarget(name: "CloudSignalFFIBinary", path: framework)
    : .systemLibrary(name: "CloudSignalFFIBinary", path: "Sources/CloudSignalFFIBinary")

let package = Package(
    name: "cloudsignal",
    platforms: [.iOS(.v15), .macOS(.v12), .tvOS(.v15), .watchOS(.v8)],
    products: [.library(name: "CloudSignal", targets: ["CloudSignal"])],
    targets: [
        binary,
        .target(name: "CloudSignalFFI", dependencies: ["CloudSignalFFIBinary"]),
        .target(name: "CloudSignal", dependencies: ["CloudSignalFFI"]),
        .testTarget(name: "CloudSignalTests", dependencies: ["CloudSignal"]),
    ]
)
