# syntax=docker/dockerfile:1
# Native code for the platform of the image. For another one than that of the machine it is cross-compiled: nothing is emulated.
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.1.0 .
# The SDK's patch must be that of src/*/packages.linux-*.lock.json, for the compiler of native code comes with it.
# Both bases can be replaced: the first needs the .NET SDK, gcc or clang, and zlib's headers, and for another platform clang and
# apt-get, or the other platform's gcc; the second glibc, OpenSSL, and the certificates of public authorities.
ARG SDK=mcr.microsoft.com/dotnet/sdk:10.0.401-noble-aot
ARG BASE=mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled

FROM --platform=$BUILDPLATFORM ${SDK} AS build
ARG TARGETARCH
WORKDIR /source

# clang compiles for all; the linker and the C library are those of the other platform. As in scripts/publish-native.sh.
RUN own=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/') && target=${TARGETARCH:-$own} \
 && echo "linux-$target" | sed 's/amd64/x64/' >/platform && : >/cross \
 && if [ "$target" != "$own" ]; then \
      tools=$(echo "$target" | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu \
   && echo "-p:CppCompilerAndLinker=clang -p:ObjCopyName=$tools-objcopy" >/cross \
   && { command -v "$tools-gcc" || { apt-get update && apt-get install -y --no-install-recommends "gcc-$(echo "$tools" | tr _ -)" && rm -rf /var/lib/apt/lists/*; }; }; \
    fi

# Restored on its own, so that a change of code does not download packages again.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig BannedSymbols.txt ./
COPY src/Peerd.Contracts/Peerd.Contracts.csproj src/Peerd.Contracts/packages.*lock.json src/Peerd.Contracts/
COPY src/Peerd.Node/Peerd.Node.csproj src/Peerd.Node/packages.*lock.json src/Peerd.Node/
RUN dotnet restore src/Peerd.Node --locked-mode -p:RuntimeIdentifier="$(cat /platform)"

COPY protos protos
COPY src src
ARG VERSION=0.0.0
ARG REVISION=unknown
RUN dotnet publish src/Peerd.Node --no-restore -c Release -r "$(cat /platform)" $(cat /cross) -o /publish \
      -p:Version="$VERSION" -p:SourceRevisionId="$REVISION" \
 && mkdir -p /app /state/var/lib/peerd \
 && cp /publish/peerd /app/

# No shell, no package manager.
FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="peerd" \
      org.opencontainers.image.description="Peer mesh for container images" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /app/peerd /usr/local/bin/peerd
# A new volume takes over the owner: 1654 is the user that .NET's bases have for programs.
COPY --from=build --chown=1654:1654 /state/ /
USER 1654:1654
VOLUME /var/lib/peerd
EXPOSE 30000 30001 30004
ENTRYPOINT ["/usr/local/bin/peerd"]
CMD ["serve"]
