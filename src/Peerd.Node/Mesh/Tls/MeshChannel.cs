using Grpc.Net.Client;

namespace Peerd.Node.Mesh.Tls;

/// <summary>Makes channels to members, in clear text or with TLS.</summary>
internal static class MeshChannel
{
    /// <summary>Connects when first used.</summary>
    /// <param name="authority">host:port of the mesh listener.</param>
    /// <param name="tls">How.</param>
    /// <param name="node">The member that is meant; null for any.</param>
    /// <param name="create">Makes the handler of a channel in clear text; no TLS is set in it.</param>
    public static GrpcChannel Open(string authority, MeshTls tls, string? node, Func<SocketsHttpHandler> create) =>
        GrpcChannel.ForAddress($"{(tls.IsOn ? "https" : "http")}://{authority}", new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            HttpHandler = tls.IsOn ? new MeshTlsHandler(tls, node, create) : create(),
        });
}
