#!/usr/bin/env bash
# Looks for secrets in everything that tests have written.
# Usage: scripts/find-secrets.sh FOLDER [NAME] fails when a file in the folder has one, or when no file of this name has anything
#        scripts/find-secrets.sh --self-test  fails when a secret in any form is overlooked
#
# Each token, password and signature that a test uses begins with the same word, see tests/Peerd.EndToEnd/Harness/TestOutput.cs.
# In base64 (headers of Basic, JSON Web Tokens) a word looks in one of three ways, by its place among its neighbours.
set -euo pipefail

readonly word=S3cret
readonly patterns=("$word" UzNjcmV0 MzY3Jld TM2NyZX "PRIVATE KEY-----")

# search FOLDER: prints file and number of each line with a secret, and the line without what follows the secret.
search() {
  local arguments=() pattern lines status=0
  for pattern in "${patterns[@]}"; do
    arguments+=(-e "$pattern")
  done
  lines=$(grep --recursive --fixed-strings --line-number --text "${arguments[@]}" "$1") || status=$?
  case "$status" in
    # Up to the secret and no further: it would be written down once more.
    0) sed -E "s/($word|UzNjcmV0|MzY3Jld|TM2NyZX|PRIVATE KEY-----).*/\1…/" <<<"$lines" ;;
    1) return 1 ;;
    *) exit 2 ;;
  esac
}

self_test() {
  local folder text missed=0
  folder=$(mktemp -d)
  # shellcheck disable=SC2064  # The name is known now, and not any more when the script ends.
  trap "rm -rf '$folder'" EXIT
  printf 'GET /v2/ 200\nno secret at all\n' >"$folder/clean"
  if search "$folder"; then
    printf 'find-secrets: found a secret where there is none\n' >&2
    missed=1
  fi
  for text in \
    "Authorization: Bearer ${word}Token123" \
    "https://store.test/blob?se=1&sig=${word}Signature%2B" \
    "Basic $(printf 'a:%sPassword' "$word" | base64)" \
    "Basic $(printf 'ab:%sPassword' "$word" | base64)" \
    "Basic $(printf 'abc:%sPassword' "$word" | base64)" \
    "eyJhbGciOiJSUzI1NiJ9.$(printf '{"jti":"%sToken"}' "$word" | base64 | tr -d =).x" \
    "-----BEGIN PRIVATE KEY-----"; do
    printf 'one line\n%s\n' "$text" >"$folder/planted"
    if ! search "$folder" >/dev/null; then
      printf 'find-secrets: overlooked: %s\n' "$text" >&2
      missed=1
    fi
  done
  return "$missed"
}

case "${1:-}" in
  --self-test) self_test ;;
  '')
    sed -n '3,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
  *)
    if [ -z "$(find "$1" -type f -name "${2:-*}" -size +0 -print -quit)" ]; then
      printf 'find-secrets: nothing was written to %s in %s\n' "${2:-a file}" "$1" >&2
      exit 1
    fi
    printf '%d files, %d lines\n' "$(find "$1" -type f | wc -l)" "$(find "$1" -type f -exec cat {} + | wc -l)"
    ! search "$1"
    ;;
esac
