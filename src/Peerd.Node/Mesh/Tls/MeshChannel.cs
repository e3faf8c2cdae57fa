using Grpc.Net.Client;

namespace Peerd.Node.Mesh.Tls;

/// <summary>Makes channels to members, in clear text or with TLS.</summary>
internal static class MeshChannel
{
    /// <summary>Bytes of an answer at most, unless said otherwise: 4 MiB.</summary>
    public const int MostReceived = 4 * 1024 * 1024;

    /// <summary>Connects when first used.</summary>
    /// <param name="authority">host:port of the mesh listener.</param>
    /// <param name="tls">How.</param>
    /// <param name="node">The member that is meant; null for any.</param>
    /// <param name="create">Makes the handler of a channel in clear text; no TLS is set in it.</param>
    /// <param name="mostReceived">Bytes of an answer at most.</param>
    public static GrpcChannel Open(string authority, MeshTls tls, string? node, Func<SocketsHttpHandler> create, int mostReceived = MostReceived) =>
        GrpcChannel.ForAddress($"{(tls.IsOn ? "https" : "http")}://{authority}", new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            HttpHandler = tls.IsOn ? new MeshTlsHandler(tls, node, create) : create(),
            MaxReceiveMessageSize = mostReceived,
        });
}
