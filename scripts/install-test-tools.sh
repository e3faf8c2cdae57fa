#!/usr/bin/env bash
# Installs what the tests and benchmarks need beside the .NET SDK, and says what it does.
# Usage: scripts/install-test-tools.sh [test|bench|all]     (default: all)
#
# Debian packages are installed with apt-get; their services are neither started nor enabled.
# buf is installed from npm into .tools/, which git ignores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly buf_version=1.75.0
readonly buf=.tools/bin/buf
readonly policy=/usr/sbin/policy-rc.d
as_root=()

say() { printf 'tools: %s\n' "$*"; }
die() {
  printf 'tools: %s\n' "$*" >&2
  exit 1
}
has() { [ -x "/usr/sbin/$1" ] || command -v "$1" >/dev/null 2>&1; }

# Prints the packages that are missing, given pairs "command package".
missing_packages() {
  local pair
  for pair in "$@"; do
    has "${pair%% *}" || printf '%s\n' "${pair##* }"
  done | sort -u
}

remove_policy() { "${as_root[@]}" rm -f "$policy"; }

install_packages() {
  local packages=("$@") result=0 service
  has apt-get || die "missing: ${packages[*]}; this script installs with apt-get only, please install them by hand"
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || die "missing: ${packages[*]}; run as root, install sudo, or run: apt-get install ${packages[*]}"
    as_root=(sudo)
  fi

  say "installing Debian packages: ${packages[*]}"
  "${as_root[@]}" apt-get update -qq >/dev/null || die "apt-get update failed"

  # Debian starts a service as soon as it is installed, unless this file says no. It goes however this ends.
  if [ ! -e "$policy" ]; then
    trap remove_policy EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null || result=$?
  [ "$result" -eq 0 ] || die "apt-get install ${packages[*]} failed"

  if [ -d /run/systemd/system ]; then
    for service in containerd docker-registry nginx; do
      case " ${packages[*]} " in
        *" $service"*) "${as_root[@]}" systemctl --quiet disable "$service" || true ;;
      esac
    done
  fi
}

install_buf() {
  say "installing buf $buf_version from npm into .tools/"
  mkdir -p .tools/bin
  npm install --prefix .tools --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --silent \
    "@bufbuild/buf@$buf_version" || die "npm install @bufbuild/buf@$buf_version failed"
  # The package's own command is a Node script; the program itself lies in a package per platform.
  ln -sf "../node_modules/@bufbuild/buf-linux-$(uname -m | sed 's/x86_64/x64/')/bin/buf" "$buf"
  "$buf" --version >/dev/null 2>&1 || die "buf $buf_version does not run on this machine"
  printf '%s\n' "$buf_version" >.tools/buf.version
}

needed=()
case "${1:-all}" in
  test) ;;
  bench | all) needed+=("nginx nginx-light" "wrk wrk") ;;
  *) die "unknown argument '$1'; allowed: test, bench, all" ;;
esac
needed+=("curl curl" "setpriv util-linux" "nsenter util-linux" "ip iproute2" "tc iproute2" "docker-registry docker-registry")
wants_buf=false
if [ "${1:-all}" != bench ]; then
  needed+=("git git" "containerd containerd")
  if [ ! -x "$buf" ] || [ "$(cat .tools/buf.version 2>/dev/null)" != "$buf_version" ]; then
    wants_buf=true
    needed+=("npm npm")
  fi
fi

mapfile -t packages < <(missing_packages "${needed[@]}")
if [ "${#packages[@]}" -gt 0 ]; then
  install_packages "${packages[@]}"
fi
if "$wants_buf"; then
  install_buf
fi
