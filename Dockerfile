# syntax=docker/dockerfile:1
# Build for the platform of the builder, publish for that of the image.
FROM --platform=$BUILDPLATFORM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG TARGETARCH
WORKDIR /source

# Restored on its own, so that a change of code does not download packages again.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig BannedSymbols.txt ./
COPY src/Peerd.Contracts/Peerd.Contracts.csproj src/Peerd.Contracts/packages.lock.json src/Peerd.Contracts/
COPY src/Peerd.Node/Peerd.Node.csproj src/Peerd.Node/packages.lock.json src/Peerd.Node/
RUN dotnet restore src/Peerd.Node --locked-mode

COPY protos protos
COPY src src
# No runtime identifier: the lock files have none, and no package brings native code.
RUN dotnet publish src/Peerd.Node --no-restore -c Release -p:UseAppHost=false -o /app \
 && mkdir -p /var/lib/peerd

# Chiseled: no shell, no package manager.
FROM mcr.microsoft.com/dotnet/aspnet:10.0-noble-chiseled
WORKDIR /app
COPY --from=build /app ./
COPY --from=build --chown=$APP_UID:$APP_UID /var/lib/peerd /var/lib/peerd
ENV DOTNET_EnableDiagnostics=0
USER $APP_UID
VOLUME /var/lib/peerd
EXPOSE 30000 30001 30004
ENTRYPOINT ["dotnet", "/app/peerd.dll"]
CMD ["serve"]
