# syntax=docker/dockerfile:1
# Native code for the platform of the image. For arm64 it is compiled on amd64, too; nothing is emulated.
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.1.0 .
# The SDK's patch must be that of src/*/packages.linux-*.lock.json, for the compiler of native code comes with it.
# Both bases can be replaced: the first needs the .NET SDK, gcc or clang, and zlib's headers, and on amd64 for arm64 clang, and
# gcc for arm64 or apt-get; the second glibc, OpenSSL, and the certificates of public authorities.
ARG SDK=mcr.microsoft.com/dotnet/sdk:10.0.401-noble-aot
ARG BASE=mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled

# A builder that knows but one platform does not say which.
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${SDK} AS build
ARG TARGETARCH
WORKDIR /source

RUN case "$(uname -m):$TARGETARCH" in \
      x86_64: | x86_64:amd64) echo linux-x64 >/platform ;; \
      aarch64: | aarch64:arm64) echo linux-arm64 >/platform ;; \
      x86_64:arm64) echo linux-arm64 >/platform && { command -v aarch64-linux-gnu-gcc \
        || { apt-get update && apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
             && rm -rf /var/lib/apt/lists/*; }; } ;; \
      *) echo "no native code for $TARGETARCH is made on $(uname -m)" >&2 && exit 1 ;; \
    esac

# Restored on its own, so that a change of code does not download packages again.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig BannedSymbols.txt ./
COPY src/Peerd.Contracts/Peerd.Contracts.csproj src/Peerd.Contracts/packages.*lock.json src/Peerd.Contracts/
COPY src/Peerd.Node/Peerd.Node.csproj src/Peerd.Node/packages.*lock.json src/Peerd.Node/
RUN dotnet restore src/Peerd.Node --locked-mode -p:RuntimeIdentifier="$(cat /platform)"

COPY protos protos
COPY src src
ARG VERSION=0.0.0
ARG REVISION=unknown
RUN dotnet publish src/Peerd.Node --no-restore -c Release -r "$(cat /platform)" -o /publish \
      -p:Version="$VERSION" -p:SourceRevisionId="$REVISION" \
 && mkdir -p /app /state/var/lib/peerd \
 && cp /publish/peerd /app/

# No shell, no package manager. buildah 1.28 needs to be told the platform, or takes that of the first stage.
FROM --platform=${TARGETPLATFORM:-linux/amd64} ${BASE}
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
