# syntax=docker/dockerfile:1
# Native code for the platform of the image: with a builder for several platforms, each is compiled on its own.
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.1.0 .
# The SDK's patch must be that of src/*/packages.linux-*.lock.json, for the compiler of native code comes with it.
# Both bases can be replaced: the first needs the .NET SDK, gcc or clang, and zlib's headers; the second glibc, OpenSSL, and
# the certificates of public authorities.
ARG SDK=mcr.microsoft.com/dotnet/sdk:10.0.401-noble-aot
ARG BASE=mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled

FROM ${SDK} AS build
WORKDIR /source

# Restored on its own, so that a change of code does not download packages again.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig BannedSymbols.txt ./
COPY src/Peerd.Contracts/Peerd.Contracts.csproj src/Peerd.Contracts/packages.*lock.json src/Peerd.Contracts/
COPY src/Peerd.Node/Peerd.Node.csproj src/Peerd.Node/packages.*lock.json src/Peerd.Node/
RUN uname -m | sed 's/x86_64/linux-x64/; s/aarch64/linux-arm64/' >/platform \
 && dotnet restore src/Peerd.Node --locked-mode -p:RuntimeIdentifier="$(cat /platform)"

COPY protos protos
COPY src src
ARG VERSION=0.0.0
ARG REVISION=unknown
RUN dotnet publish src/Peerd.Node --no-restore -c Release -r "$(cat /platform)" -o /publish \
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
