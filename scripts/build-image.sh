#!/usr/bin/env bash
# Builds the Dockerfile without a registry, on bases made of this machine's own files, tries the image with runc, and
# prints the path of the program in it.
#
#   scripts/build-image.sh          for this machine, into artifacts/image
#   scripts/build-image.sh arm64    for arm64 on amd64, with what scripts/cross-dockerfile.sh makes of the Dockerfile, into
#                                   artifacts/image-arm64; runc starts it in qemu
#
# Proves the Dockerfile on machines that cannot pull its bases: the first base is this machine's SDK and compiler, mounted;
# the second what .NET's bases without a shell hold: glibc, OpenSSL, certificates, an unprivileged user. Needs root, and
# buildah and runc: scripts/install-test-tools.sh test; for arm64 scripts/install-test-tools.sh arm64.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly name=localhost/peerd:test
# Debian's libraries for arm64.
readonly arm64_root=.tools/arm64
# Runs them where the kernel does not.
readonly qemu=/usr/bin/qemu-aarch64-static
work=$(mktemp -d /var/tmp/peerd-image-XXXXXX)
container=peerd-image-$$

finish() {
  runc --root "$work/runc" delete --force "$container" >/dev/null 2>&1 || true
  build umount --all >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

say() { printf 'image: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
build() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

case "$(uname -m):${1:-}" in
  x86_64: | x86_64:amd64) own=amd64 architecture=amd64 platform=linux-x64 machine=X86-64 output=artifacts/image ;;
  aarch64: | aarch64:arm64) own=arm64 architecture=arm64 platform=linux-arm64 machine=AArch64 output=artifacts/image ;;
  x86_64:arm64) own=amd64 architecture=arm64 platform=linux-arm64 machine=AArch64 output=artifacts/image-arm64 ;;
  *) die "no image for '${1:-$(uname -m)}' is made on $(uname -m); there is amd64, and arm64, which amd64 makes, too" ;;
esac

# An image that holds one folder.
base() {
  local tag=$1 folder=$2 architecture=$3 new
  new=$(build from scratch)
  build config --arch "$architecture" "$new"
  build add -q "$new" "$folder" / >/dev/null
  build commit -q "$new" "$tag" >/dev/null
  build rm "$new" >/dev/null
}

sdk_base() {
  local root=$work/sdk
  mkdir -p "$root"/{usr,etc,tmp,root,var/tmp,proc,sys,dev}
  chmod 1777 "$root/tmp"
  local link
  for link in bin sbin lib lib64; do
    [ ! -L "/$link" ] || cp -a "/$link" "$root/"
  done
  base localhost/sdk:test "$root" "$own"
}

runtime_base() {
  local root=$work/runtime library
  mkdir -p "$root"/{etc/ssl/certs,tmp,proc,sys,dev}
  chmod 1777 "$root/tmp"
  printf 'root:x:0:0:root:/root:/usr/sbin/nologin\napp:x:1654:1654::/:/usr/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\napp:x:1654:\n' >"$root/etc/group"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 libssl.so.3 libcrypto.so.3; do
    copy_library "$(find_library "$library")" "$root"
  done
  for library in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
    [ ! -e "$libraries$library" ] || copy_library "$library" "$root"
  done
  base localhost/runtime-deps:test "$root" "$architecture"
}

# Prints where a library is at the root of the base.
find_library() {
  local folder
  if [ "$architecture" = "$own" ]; then
    ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }'
    return
  fi
  for folder in /lib /usr/lib/aarch64-linux-gnu; do
    if [ -e "$libraries$folder/$1" ]; then
      printf '%s\n' "$folder/$1"
      return
    fi
  done
}

copy_library() {
  [ -n "$1" ] && [ -e "$libraries$1" ] || die "a library of the base is missing on this machine"
  mkdir -p "$2$(dirname "$1")"
  cp -L "$libraries$1" "$2$1"
}

# Where the libraries of the second base are: at the root of this machine, or of what is unpacked for another one.
libraries=
if [ "$architecture" != "$own" ]; then
  libraries=$arm64_root
  [ -x "$qemu" ] || die "$qemu is missing: scripts/install-test-tools.sh arm64"
fi

say "making bases for $own and $architecture"
sdk_base
runtime_base

revision=$(git rev-parse HEAD 2>/dev/null || printf none)
readonly revision

say 'restoring packages'
dotnet restore src/Peerd.Node --locked-mode -p:RuntimeIdentifier="$platform" --artifacts-path "$work/restore" -v quiet >&2

say 'building the Dockerfile'
dockerfile=Dockerfile for_others=()
if [ "$architecture" != "$own" ]; then
  dockerfile=$work/Dockerfile
  scripts/cross-dockerfile.sh >"$dockerfile"
  # BuildKit knows it; buildah 1.28 knows it within stages only.
  for_others=(--build-arg "BUILDPLATFORM=linux/$own")
fi
build build -q --isolation chroot --pull-never --file "$dockerfile" --platform "linux/$architecture" "${for_others[@]}" \
  --volume /usr:/usr:ro --volume /etc:/etc:ro --volume "${NUGET_PACKAGES:-$HOME/.nuget/packages}:/root/.nuget/packages" \
  --env DOTNET_CLI_TELEMETRY_OPTOUT=1 --env DOTNET_NOLOGO=1 --env DOTNET_GENERATE_ASPNET_CERTIFICATE=false --env HOME=/root \
  --build-arg SDK=localhost/sdk:test --build-arg BASE=localhost/runtime-deps:test \
  --build-arg VERSION=1.2.3 --build-arg REVISION="$revision" \
  --tag "$name" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; die 'the Dockerfile does not build'; }

say 'looking into the image'
new=$(build from --pull-never --arch "$architecture" "$name")
root=$(build mount "$new")
[ "$(build inspect --type image --format '{{ .OCIv1.OS }}/{{ .OCIv1.Architecture }}' "$name")" = "linux/$architecture" ] || die "the image is not for linux/$architecture"
readelf --file-header "$root/usr/local/bin/peerd" | grep -q "Machine:.*$machine" || die "the program in the image is not for $architecture"
for label in title=peerd 'description=Peer mesh for container images' licenses=MIT version=1.2.3 "revision=$revision"; do
  found=$(build inspect --type image --format "{{ index .OCIv1.Config.Labels \"org.opencontainers.image.${label%%=*}\" }}" "$name")
  [ "$found" = "${label#*=}" ] || die "the label ${label%%=*} of the image is '$found' and not '${label#*=}'"
done
[ "$(build inspect --type image --format '{{ .OCIv1.Config.User }}' "$name")" = 1654:1654 ] || die 'the image runs as root'
[ "$(stat -c %u:%g "$root/var/lib/peerd")" = 1654:1654 ] || die 'the cache folder of the image is not its user'"'"'s'
if find "$root" -name '*.dll' -o -name '*.dbg' | grep -q .; then
  die 'the image holds more than the program'
fi

say 'running it with runc: read-only, without capabilities, as its user'
mkdir -p "$work/bundle" "$work/state" "$work/runc"
chown 1654:1654 "$work/state"
(cd "$work/bundle" && runc spec)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
[ "$architecture" = "$own" ] && emulator='' || emulator=$qemu
python3 - "$work/bundle/config.json" "$root" "$work/state" "$emulator" "$port" "$(free_port)" "$(free_port)" <<'P'
import json, sys
path, root, state, emulator, metrics, facade, mesh = sys.argv[1:]
with open(path) as file:
    spec = json.load(file)
spec["root"] = {"path": root, "readonly": True}
process = spec["process"]
process["terminal"] = False
process["user"] = {"uid": 1654, "gid": 1654}
process["args"] = ["/usr/local/bin/peerd", "serve"]
process["env"] = [f"Peerd__{key}__Listen=127.0.0.1:{port}" for key, port in (("Facade", facade), ("Mesh", mesh), ("Metrics", metrics))]
process["capabilities"] = {key: [] for key in process["capabilities"]}
spec["mounts"].append({"destination": "/var/lib/peerd", "type": "bind", "source": state, "options": ["rbind", "rw"]})
if emulator:
    process["args"].insert(0, emulator)
    spec["mounts"].append({"destination": emulator, "type": "bind", "source": emulator, "options": ["bind", "ro"]})
spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] in ("mount", "pid", "ipc", "uts")]
with open(path, "w") as file:
    json.dump(spec, file)
P
runc --root "$work/runc" run --bundle "$work/bundle" "$container" >"$work/run.log" 2>&1 &
for attempt in $(seq 1 100); do
  if curl -sf -o /dev/null "http://127.0.0.1:$port/readyz"; then
    break
  fi
  [ "$attempt" -lt 100 ] || { cat "$work/run.log" >&2; die 'the image does not become ready'; }
  sleep 0.2
done
metrics=$(curl -sf "http://127.0.0.1:$port/metrics/prometheus")
grep -q '^peerd_build.*version="1\.2\.3' <<<"$metrics" || die 'the program does not tell its version'
say 'asking it from within, as kubectl exec does: there is no shell, and no folder to write to'
doctor=$(runc --root "$work/runc" exec "$container" ${emulator:+"$emulator"} /usr/local/bin/peerd doctor --check mesh) || die "the doctor in the image fails: $doctor"
grep -q '^warning  mesh: .* is alone' <<<"$doctor" || die "the doctor in the image does not see its mesh: $doctor"
status=$(runc --root "$work/runc" exec "$container" ${emulator:+"$emulator"} /usr/local/bin/peerd status) || die 'the status in the image fails'
grep -q '^version.*1\.2\.3' <<<"$status" || die "the status in the image does not tell its version: $status"
runc --root "$work/runc" kill "$container" TERM
wait %1 || { cat "$work/run.log" >&2; die "the image ends with code $? when it is told to stop"; }

mkdir -p "$output"
cp "$root/usr/local/bin/peerd" "$output/peerd.new"
mv "$output/peerd.new" "$output/peerd"
printf '%s\n' "$PWD/$output/peerd"
