#!/usr/bin/env bash
# Publishes peerd as native code and prints the path of the program.
#
#   scripts/publish-native.sh                for this machine
#   scripts/publish-native.sh linux-arm64    for another one: linux-x64 or linux-arm64
#
# Apart from other builds, in artifacts/native, so that neither disturbs the other; takes about two minutes, or seconds
# when nothing has changed. Needs gcc (or clang) and zlib's headers: scripts/install-test-tools.sh test. For another kind of
# processor it needs clang, and the other kind's linker and C library: on Debian and Ubuntu
# apt-get install clang gcc-aarch64-linux-gnu (from arm64 to x64: gcc-x86-64-linux-gnu).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
  printf 'publish-native.sh: %s\n' "$*" >&2
  exit 1
}

case "$(uname -m)" in
  x86_64) own=linux-x64 ;;
  aarch64) own=linux-arm64 ;;
  *) die "no native code for $(uname -m)" ;;
esac

platform=${1:-$own}
options=()
if [ "$platform" != "$own" ]; then
  case "$platform" in
    linux-x64) tools=x86_64-linux-gnu package=gcc-x86-64-linux-gnu ;;
    linux-arm64) tools=aarch64-linux-gnu package=gcc-aarch64-linux-gnu ;;
    *) die "no native code for '$platform'; there is linux-x64 and linux-arm64" ;;
  esac
  if ! command -v clang >/dev/null || ! command -v "$tools-gcc" >/dev/null; then
    die "$platform on $own needs clang and $tools-gcc: apt-get install clang $package"
  fi
  # objcopy of this machine does not know the other kind of program.
  options=(-p:CppCompilerAndLinker=clang -p:ObjCopyName="$tools-objcopy")
fi

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
dotnet publish src/Peerd.Node -c Release -r "$platform" "${options[@]}" --artifacts-path artifacts/native -v quiet -clp:NoSummary >&2
printf '%s\n' "$PWD/artifacts/native/publish/Peerd.Node/release_$platform/peerd"
