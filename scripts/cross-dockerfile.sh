#!/usr/bin/env bash
# Prints the Dockerfile for builders that make images for other platforms than their own: the first stage runs on the builder's
# platform and compiles for the image's, so that nothing is emulated. In the Dockerfile itself both are the same, for builders
# that do not know --platform in a FROM line, such as az acr build.
#
#   scripts/cross-dockerfile.sh | docker buildx build --platform linux/amd64,linux/arm64 --file - .
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# buildah 1.28 takes the platform of the first stage for the second, too, unless it is told.
# shellcheck disable=SC2016  # The variables are the builder's.
sed -e 's/^FROM ${SDK} AS build$/FROM --platform=$BUILDPLATFORM ${SDK} AS build/' -e 's/^FROM ${BASE}$/FROM --platform=$TARGETPLATFORM ${BASE}/' Dockerfile
