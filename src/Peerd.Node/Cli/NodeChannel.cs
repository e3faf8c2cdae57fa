using Grpc.Net.Client;

namespace Peerd.Node.Cli;

/// <summary>Connections of the commands to the mesh listener of a node.</summary>
internal static class NodeChannel
{
    /// <summary>Connects when first used. No proxy of the environment stands between: it would not speak HTTP/2.</summary>
    public static GrpcChannel Open(Uri address) => GrpcChannel.ForAddress(address, new GrpcChannelOptions
    {
        DisposeHttpClient = true,
        HttpHandler = new SocketsHttpHandler { UseProxy = false, UseCookies = false },
    });
}
