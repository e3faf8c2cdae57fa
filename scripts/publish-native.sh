#!/usr/bin/env bash
# Publishes peerd as native code for this machine and prints the path of the program.
#
# Apart from other builds, in artifacts/native, so that neither disturbs the other; takes about two minutes, or seconds
# when nothing has changed. Needs gcc (or clang) and zlib's headers: scripts/install-test-tools.sh test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "$(uname -m)" in
  x86_64) platform=linux-x64 ;;
  aarch64) platform=linux-arm64 ;;
  *)
    printf 'publish-native.sh: no native code for %s\n' "$(uname -m)" >&2
    exit 1
    ;;
esac

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
dotnet publish src/Peerd.Node -c Release -r "$platform" --artifacts-path artifacts/native -v quiet -clp:NoSummary >&2
printf '%s\n' "$PWD/artifacts/native/publish/Peerd.Node/release_$platform/peerd"
