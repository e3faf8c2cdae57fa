#!/usr/bin/env bash
# Measures Peerd beside other programs on this machine.
#
#   ./bench.sh                    lists the benchmarks with their usual duration
#   ./bench.sh NAME               runs one and prints a table
#   ./bench.sh NAME --json        the last line is one JSON object
#   ./bench.sh NAME --size 256 --rounds 3    a smaller file (MiB), fewer rounds
#   ./bench.sh NAME --help        lists its options
#
# transfer also with mutual TLS, beside nginx with the same:
#   ./bench.sh transfer --tls
#
# herd makes network namespaces, which needs root; for example only some of it:
#   ./bench.sh herd --modes cold,slow --layers 4 --uplinks 1
#
# range needs root only when links are limited; for example reads from a peer over 1 Gbit/s:
#   ./bench.sh range --cases peer --ranges 64 --rate 1000
#
# start publishes the native program first, unless it is named:
#   ./bench.sh start --program artifacts/image/peerd --idle 30
#
# fair limits the bandwidth by the settings of the nodes (Peerd:Limits); the file must last longer than what runs beside it:
#   ./bench.sh fair --size 1024 --rounds 1
#
# simulate needs neither root nor a network; one herd, or the whole matrix:
#   ./bench.sh simulate --nodes 5000 --uplinks 1 --scenarios killed10 --seeds 1
#   ./bench.sh simulate --full --nodes 2,3,8,50,200,1000
#
# membership starts nodes in a mount namespace, which needs root; a larger cluster:
#   ./bench.sh membership --nodes 15000 --churn 200 --seconds 60
#
# fuzz and soak go on for as long as they are told to, and fail when they find something:
#   ./bench.sh fuzz --minutes 60
#   ./bench.sh soak --minutes 60
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
[ $# -eq 0 ] || scripts/install-test-tools.sh bench >&2
dotnet build tests/Peerd.Benchmarks -c Release -v quiet -clp:NoSummary >&2
[ "${1:-}" != fuzz ] || dotnet build tests/Peerd.Tests -c Release -v quiet -clp:NoSummary >&2
exec dotnet tests/Peerd.Benchmarks/bin/Release/net10.0/Peerd.Benchmarks.dll "$@"
