#!/bin/sh
# On a Mac: one framework of the static libraries that CROSS.md builds, for Package.swift.
set -eu
cd "$(dirname "$0")"
target=../../target
headers=$target/ffi/headers
rm -rf CloudSignalFFIBinary.xcframework "$headers"
mkdir -p "$headers"
cp $target/ffi/swift/CloudSignalFFIBinary.h "$headers"
cp $target/ffi/swift/CloudSignalFFIBinary.modulemap "$headers/module.modulemap"
set --
for machine in aarch64-apple-ios aarch64-apple-ios-sim aarch64-apple-darwin; do
  set -- "$@" -library "$target/$machine/ffi/libcloudsignal_ffi.a" -headers "$headers"
done
xcodebuild -create-xcframework "$@" -output CloudSignalFFIBinary.xcframework
