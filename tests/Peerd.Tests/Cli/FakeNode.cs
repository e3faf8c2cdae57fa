using System.Net;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Peerd.Contracts.V1;

namespace Peerd.Tests.Cli;

/// <summary>A server on a free port that answers what the test wants.</summary>
internal sealed class FakeNode : NodeService.NodeServiceBase, IAsyncDisposable
{
    private WebApplication? _server;

    public Func<CancellationToken, Task<GetStatusResponse>> Status { get; set; } = _ => Task.FromResult(new GetStatusResponse());

    public Func<string, GetRingResponse> Ring { get; set; } = _ => new GetRingResponse();

    public ListPeersResponse Peers { get; set; } = new();

    public string Address => _server!.Urls.Single();

    public static async Task<FakeNode> StartAsync()
    {
        var node = new FakeNode();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(node);
        node._server = builder.Build();
        node._server.MapGrpcService<FakeNode>();
        await node._server.StartAsync();
        return node;
    }

    public override Task<GetStatusResponse> GetStatus(GetStatusRequest request, ServerCallContext context) => Status(context.CancellationToken);

    public override Task<GetRingResponse> GetRing(GetRingRequest request, ServerCallContext context) => Task.FromResult(Ring(request.Digest));

    public override Task<ListPeersResponse> ListPeers(ListPeersRequest request, ServerCallContext context) => Task.FromResult(Peers);

    public ValueTask DisposeAsync() => _server!.DisposeAsync();
}
