#!/usr/bin/env bash
# Publishes peerd as native code and prints the path of the program.
#
#   scripts/publish-native.sh          for this machine
#   scripts/publish-native.sh arm64    for machines with Arm processors; also on amd64
#
# Apart from other builds, in artifacts/native, so that neither disturbs the other; takes about two minutes, or seconds
# when nothing has changed. Needs gcc (or clang): scripts/install-test-tools.sh test; for arm64 on amd64 clang, and gcc and
# the C library for arm64: scripts/install-test-tools.sh arm64.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
  printf 'publish-native.sh: %s\n' "$*" >&2
  exit 1
}

case "$(uname -m):${1:-}" in
  x86_64: | x86_64:amd64) platform=linux-x64 ;;
  aarch64: | aarch64:arm64) platform=linux-arm64 ;;
  x86_64:arm64)
    platform=linux-arm64
    for program in clang aarch64-linux-gnu-gcc; do
      command -v "$program" >/dev/null || die "$program is missing: scripts/install-test-tools.sh arm64"
    done
    ;;
  *) die "no native code for '${1:-$(uname -m)}' is made on $(uname -m); there is amd64, and arm64, which amd64 makes, too" ;;
esac

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
dotnet publish src/Peerd.Node -c Release -r "$platform" --artifacts-path artifacts/native -v quiet -clp:NoSummary >&2
printf '%s\n' "$PWD/artifacts/native/publish/Peerd.Node/release_$platform/peerd"
