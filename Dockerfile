# Native code for the platform that this is built on. For others: scripts/cross-dockerfile.sh
#   docker build --build-arg VERSION=0.1.0 .
# The SDK's patch must be that of src/*/packages.linux-*.lock.json, for the compiler of native code comes with it.
# Both bases can be replaced: the first needs the .NET SDK and gcc or clang, and for another platform clang, and gcc for that one or
# apt-get; the second glibc, OpenSSL, and the certificates of public authorities.
# FROM lines stay as simple as they are: az acr build reads them itself.
ARG SDK=mcr.microsoft.com/dotnet/sdk:10.0.401-noble-aot
ARG BASE=mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled

FROM ${SDK} AS build
# A builder that knows but one platform does not say which.
ARG TARGETARCH
WORKDIR /source

RUN case "$(uname -m):$TARGETARCH" in \
      x86_64: | x86_64:amd64) platform=linux-x64 compiler= ;; \
      aarch64: | aarch64:arm64) platform=linux-arm64 compiler= ;; \
      x86_64:arm64) platform=linux-arm64 compiler=aarch64-linux-gnu-gcc packages='gcc-aarch64-linux-gnu libc6-dev-arm64-cross' ;; \
      aarch64:amd64) platform=linux-x64 compiler=x86_64-linux-gnu-gcc packages='gcc-x86-64-linux-gnu libc6-dev-amd64-cross' ;; \
      *) echo "no native code for $TARGETARCH is made on $(uname -m)" >&2 && exit 1 ;; \
    esac \
 && echo "$platform" >/platform \
 && { [ -z "$compiler" ] || command -v "$compiler" \
      || { apt-get update && apt-get install -y --no-install-recommends $packages && rm -rf /var/lib/apt/lists/*; }; }

# Restored on its own, so that a change of code does not download packages again.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig BannedSymbols.txt ./
COPY src/Peerd.Contracts/Peerd.Contracts.csproj src/Peerd.Contracts/packages.*lock.json src/Peerd.Contracts/
COPY src/Peerd.Node/Peerd.Node.csproj src/Peerd.Node/packages.*lock.json src/Peerd.Node/
RUN dotnet restore src/Peerd.Node --locked-mode -p:RuntimeIdentifier="$(cat /platform)"

COPY protos protos
COPY src src
ARG VERSION=0.0.0
ARG REVISION=unknown
# What analyzers find fails the tests; the compiler of native code looks for what it cannot translate itself.
RUN dotnet publish src/Peerd.Node --no-restore -c Release -r "$(cat /platform)" -o /publish -p:RunAnalyzers=false -p:UseSharedCompilation=false \
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
