#!/usr/bin/env bash
# Runs all checks and tests and closes with one line "N passed, N failed".
#
#   ./test.sh                  everything
#   ./test.sh checks           formatting and protocol checks only
#   ./test.sh unit [options]   unit tests only
#   ./test.sh e2e  [options]   end-to-end tests on real processes only
#   ./test.sh faults [options] end-to-end tests of all faults, also those that are too long for every run, and other long tests
#   ./test.sh native [options] the image, and the end-to-end tests with the native program that is in it
#   ./test.sh arm64            the image for arm64 and a mesh of both kinds of processors, on amd64 with an emulator
#
# Tests need amd64, and root, for they start containerd and mount file systems; checks do not.
# Options go to the test runner, for example: ./test.sh unit -class 'Peerd.Tests.Ring.*'
# What nodes and suites have written is searched for the tokens and signatures that the tests used, in the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

part=${1:-all}
[ $# -eq 0 ] || shift
case "$part" in
  all | checks | unit | e2e | faults | native | arm64) ;;
  *)
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

if [ "$part" != checks ] && [ "$(id -u)" -ne 0 ]; then
  printf 'test.sh: the tests start containerd and mount file systems, which needs root: sudo env "PATH=$PATH" ./test.sh %s\n' "$part" >&2
  exit 2
fi

if [ "$part" = arm64 ] && [ "$(uname -m)" != x86_64 ]; then
  printf 'test.sh: arm64 is tried on amd64 only, which this machine (%s) is not\n' "$(uname -m)" >&2
  exit 2
fi

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
if [ "${CI:-}" = true ]; then
  # Nothing may outlive the run; the compiler's server, which looks for all rules in half of the time, is ended after the build.
  export MSBUILDDISABLENODEREUSE=1 UseSharedCompilation=true
fi

results=$(mktemp -d)
mkdir "$results/output"
export PEERD_TEST_OUTPUT=$results/output
passed=0 failed=0 skipped=0 finished=false background=()

finish() {
  local status=$?
  local job
  for job in "${background[@]}"; do
    # Not only what it runs at the moment, or it would begin the next.
    # shellcheck disable=SC2046
    kill -TERM "$job" $(pgrep -P "$job") 2>/dev/null || true
  done
  "$finished" || end_compiler
  rm -rf "$results"
  if ! "$finished"; then
    # Something broke outside of any check; it must not look like a success.
    failed=$((failed + 1))
    [ "$status" -ne 0 ] || status=1
  fi
  if [ "$skipped" -gt 0 ]; then
    printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  else
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
  fi
  exit "$status"
}
trap finish EXIT

end_compiler() {
  [ "${CI:-}" != true ] || dotnet build-server shutdown --vbcscompiler >/dev/null 2>&1 || true
}

# check NAME COMMAND…: one check that passes or fails.
check() {
  local name=$1 status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  count_check "$name" "$status"
}

count_check() {
  if [ "$2" -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$1"
  fi
}

# Checks that run one after the other while something else does: begin them with begin_aside, and see to it with end_aside.
aside_names=() aside_commands=()

# aside NAME COMMAND: a check to run aside; the command is a function, or words without spaces in them.
aside() {
  aside_names+=("$1")
  aside_commands+=("$2")
}

begin_aside() {
  (
    renice -n 5 "$BASHPID" >/dev/null || true
    for i in "${!aside_commands[@]}"; do
      status=0
      # shellcheck disable=SC2086
      ${aside_commands[i]} >"$results/aside-$i.txt" 2>&1 || status=$?
      printf '%d\n' "$status" >"$results/aside-$i"
    done
  ) &
  background+=($!)
}

end_aside() {
  local i
  wait "${background[@]}" || true
  background=()
  for i in "${!aside_names[@]}"; do
    printf '\n== %s\n' "${aside_names[i]}"
    cat "$results/aside-$i.txt" || true
    count_check "${aside_names[i]}" "$(cat "$results/aside-$i" || printf 1)"
  done
}

# suite NAME PROJECT [runner options]: a test project, counted from the runner's report.
suite() {
  local name=$1 report status=0
  report=$(mktemp -p "$results" XXXXXX.xml)
  printf '\n== %s\n' "$name"
  run_suite "$report" "${@:2}" || status=$?
  count_suite "$name" "$report" "$status"
}

# run_suite REPORT PROJECT [runner options]
run_suite() {
  local report=$1 project=$2
  shift 2
  timeout --kill-after=30s 20m dotnet "tests/$project/bin/Release/net10.0/$project.dll" \
    -noLogo -noColor -result-xml "$report" "$@" 2>&1 | tee -a "$results/output/$project.txt"
}

# count_suite NAME REPORT STATUS
count_suite() {
  local name=$1 report=$2 status=$3 total counts
  counts=(0 0 0)
  if [ -s "$report" ]; then
    read -r -a counts < <(assembly_counts "$report")
  fi
  total=$((counts[0] + counts[1]))
  passed=$((passed + counts[0]))
  failed=$((failed + counts[1]))
  skipped=$((skipped + counts[2]))
  if [ "${counts[1]}" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$total" -eq 0 ]; }; then
    failed=$((failed + 1))
    printf 'FAILED: %s: the runner ended with code %d after %d tests\n' "$name" "$status" "$total"
  fi
}

# end_to_end NAME [runner options]: particular end-to-end tests, or all but the long ones: in three parts at the same time, for they wait
# more than they compute.
end_to_end() {
  local name=$1 part namespace status ports=12000 options rest=() jobs=()
  shift
  if [ $# -gt 0 ]; then
    suite "$name" Peerd.EndToEnd "$@"
    return
  fi
  local parts=('Pulls' 'Herd Harness Protocol Streaming Faults Cluster' '')
  printf '\n== %s\n' "$name"
  for part in "${!parts[@]}"; do
    options=()
    for namespace in ${parts[part]}; do
      options+=(-namespace "Peerd.EndToEnd.$namespace")
      rest+=(-namespace- "Peerd.EndToEnd.$namespace")
    done
    [ ${#options[@]} -gt 0 ] || options=("${rest[@]}")
    PEERD_TEST_PORTS=$ports-$((ports + 5999)) run_suite "$results/part-$part.xml" Peerd.EndToEnd -trait- Length=long -trait- Machine=alone "${options[@]}" >"$results/part-$part.txt" &
    jobs+=($!)
    background+=($!)
    ports=$((ports + 6000))
  done
  for part in "${!parts[@]}"; do
    status=0
    wait "${jobs[part]}" || status=$?
    cat "$results/part-$part.txt"
    count_suite "$name: ${parts[part]:-the rest}" "$results/part-$part.xml" "$status"
  done
  background=()
  suite "$name, those that need the machine to themselves" Peerd.EndToEnd -class Peerd.EndToEnd.Commands.DemoTests
}

# Prints "passed failed skipped" of a report; errors outside of tests (clean-up, fixtures) are failures.
assembly_counts() {
  local line
  line=$(grep -o '<assembly [^>]*>' "$1" | head -n 1)
  printf '%d %d %d\n' "$(attribute passed "$line")" \
    "$(($(attribute failed "$line") + $(attribute errors "$line")))" "$(attribute skipped "$line")"
}

attribute() {
  local value
  value=$(sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$2")
  printf '%d' "${value:-0}"
}

# The protocol may not break what the last commit before this one offered.
breaking() {
  local base='' candidate
  for candidate in origin/main main HEAD^; do
    candidate=$(git rev-parse --verify --quiet "$candidate^{commit}") || continue
    if [ "$candidate" != "$(git rev-parse HEAD)" ]; then
      base=$candidate
      break
    fi
  done
  if [ -z "$base" ] || ! git cat-file -e "$base:protos" 2>/dev/null; then
    printf 'no earlier commit with a protocol to compare with\n'
    return
  fi
  mkdir -p "$results/base"
  git archive "$base" protos buf.yaml | tar -x -C "$results/base"
  printf 'compared with %s\n' "$(git log -1 --format='%h %s' "$base")"
  .tools/bin/buf breaking --against "$results/base"
}

# dotnet format finds usings that are out of order, in a project that has nothing else.
order_of_usings_is_seen() {
  local project=$results/usings
  mkdir "$project"
  cp .editorconfig "$project/"
  printf '<Project Sdk="Microsoft.NET.Sdk"><PropertyGroup><TargetFramework>net10.0</TargetFramework></PropertyGroup></Project>\n' >"$project/Usings.csproj"
  printf 'using System.Text;\nusing System.Globalization;\n' >"$project/Usings.cs"
  dotnet restore "$project" -v quiet || return 1
  ! dotnet format style "$project" --diagnostics IMPORTS --verify-no-changes --no-restore >"$project/found" 2>&1 \
    && grep -q 'Usings.cs(1,1): error IMPORTS' "$project/found"
}

# image [arm64]: builds the image, tries it, and leaves its program in artifacts/image or artifacts/image-arm64.
image() {
  rm -rf "artifacts/image${1:+-$1}"
  scripts/build-image.sh "$@" >/dev/null
}

# A command that starts the program for arm64 on this machine.
emulated() {
  local command=$results/peerd-arm64
  printf '#!/bin/sh\nexec qemu-aarch64-static -L %q %q "$@"\n' "$PWD/.tools/arm64" "$PWD/artifacts/image-arm64/peerd" >"$command"
  chmod +x "$command"
  printf '%s\n' "$command"
}

case "$part" in
  checks | arm64) scripts/install-test-tools.sh "$part" ;;
  *) scripts/install-test-tools.sh test ;;
esac

printf '\n== build\n'
# What native code cannot be made of is found when the image's is.
dotnet build Peerd.sln -c Release -v quiet -clp:NoSummary -p:EnableTrimAnalyzer=false -p:EnableAotAnalyzer=false -p:EnableSingleFileAnalyzer=false
end_compiler
passed=$((passed + 1))

if [ "$part" = all ] || [ "$part" = checks ]; then
  # All other rules of style fail the build; to look for those again takes more than a minute.
  aside 'white space' 'dotnet format whitespace Peerd.sln --verify-no-changes --no-restore'
  aside 'usings out of order are found' order_of_usings_is_seen
  aside 'order of usings' 'dotnet format style Peerd.sln --diagnostics IMPORTS --verify-no-changes --no-restore'
  aside 'buf lint' '.tools/bin/buf lint'
  aside 'buf format' '.tools/bin/buf format --diff --exit-code'
  aside 'buf breaking' breaking
fi
if [ "$part" = all ] || [ "$part" = native ]; then
  aside 'image' image
fi
begin_aside
if [ "$part" = all ] || [ "$part" = unit ]; then
  # They wait more than they compute.
  suite 'unit tests' Peerd.Tests -maxThreads 1.5x "$@"
fi
end_aside
if [ "$part" = e2e ]; then
  end_to_end 'end-to-end tests' "$@"
fi
if [ "$part" = faults ]; then
  suite 'faults' Peerd.EndToEnd -namespace Peerd.EndToEnd.Faults -showLiveOutput "$@"
  # With the machine to itself. Unless somebody asks for particular faults.
  [ $# -gt 0 ] || suite 'an upgrade at its full pace, and other long tests' Peerd.EndToEnd -namespace- Peerd.EndToEnd.Faults -trait Length=long -showLiveOutput
fi
if [ "$part" = all ] || [ "$part" = native ]; then
  # What the image runs is what is tested as a whole; ./test.sh e2e does the same with the build for developers.
  export PEERD_PROGRAM=artifacts/image/peerd
  end_to_end 'end-to-end tests, native program' "$@"
  unset PEERD_PROGRAM
fi
if [ "$part" = arm64 ]; then
  check 'image for arm64' image arm64
  PEERD_OTHER_PROGRAM=$(emulated) suite 'mesh of both kinds of processors' Peerd.EndToEnd -class Peerd.EndToEnd.Pulls.MixedMeshTests -explicit only "$@"
fi
if [ "$part" = all ]; then
  # As the README runs it; the native program has run all of these tests.
  suite 'end-to-end tests, demo' Peerd.EndToEnd -method Peerd.EndToEnd.Commands.DemoTests.Demo_OutputIsNoTerminal_PrintsPlainLines
fi
if [ "$part" != checks ]; then
  check 'secrets are found where there are some' scripts/find-secrets.sh --self-test
  # Of the nodes, unless there was none.
  written='*.log'
  [ "$part" != unit ] || written='*.txt'
  check 'no secret is in what nodes and tests have written' scripts/find-secrets.sh "$results/output" "$written"
fi

finished=true
[ "$failed" -eq 0 ]
