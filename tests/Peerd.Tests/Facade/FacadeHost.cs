using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Content;
using Peerd.Node.Directory;
using Peerd.Node.Facade;
using Peerd.Node.Membership;
using Peerd.Node.Origin;
using Peerd.Node.Ring;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Facade;

/// <summary>The facade on a real Kestrel at a free port, over a read path and an origin in memory.</summary>
internal sealed class FacadeHost : IAsyncDisposable
{
    private readonly WebApplication _app;

    private FacadeHost(WebApplication app) => _app = app;

    public FakeContentReader Contents { get; } = new();

    public FakeOrigin Origin { get; } = new();

    public FakeLogCollector Logs => _app.Services.GetFakeLogCollector();

    public IServiceProvider Services => _app.Services;

    public int Port => new Uri(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port;

    public static async Task<FacadeHost> StartAsync(params (string Key, string Value)[] settings)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Configuration.AddInMemoryCollection(settings.Select(s => KeyValuePair.Create("Peerd:Facade:" + s.Key, (string?)s.Value)));

        // The category that a node never writes: whole targets are in it.
        builder.Logging.ClearProviders().AddFakeLogging().SetMinimumLevel(LogLevel.Debug).AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        builder.Services.AddSingleton<ServedBytes>();
        builder.Services.AddSingleton(new RingSource(new TestMembership(TestMembership.ListOf("self")), TimeProvider.System, NullLogger<RingSource>.Instance));
        builder.Services.AddSingleton(new NodeIdentity("self", 1, string.Empty));
        builder.Services.AddFacade(builder.Configuration);
        FacadeHost? host = null;
        builder.Services.AddSingleton<IContentReader>(_ => host!.Contents);
        builder.Services.AddSingleton<IOrigin>(_ => host!.Origin);
        builder.Services.AddSingleton<ITagMesh, LonelyTagMesh>();

        // Nothing below /blobs is asked of this host.
        var origins = OriginSettings.From(new OriginOptions());
        builder.Services.AddSingleton(origins);
        builder.Services.AddSingleton(BlobHosts.From(new BlobOptions(), origins));
        builder.Services.AddSingleton(new BlobStreams(cache: null!, downloads: null!, Options.Create(new BlobOptions()), TimeProvider.System, NullLogger<BlobStreams>.Instance));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            var options = kestrel.ApplicationServices.GetRequiredService<IOptions<FacadeOptions>>().Value;
            kestrel.AddServerHeader = false;
            FacadeLimits.Apply(kestrel.Limits, options);
            kestrel.Listen(IPAddress.Loopback, 0, listener => FacadeLimits.Apply(listener, options));
        });
        var app = builder.Build();
        host = new FacadeHost(app);
        app.MapFacade();
        await app.StartAsync();
        return host;
    }

    public Task<RawConnection> ConnectAsync() => RawConnection.ConnectAsync(Port);

    /// <summary>One request on its own connection.</summary>
    public async Task<RawAnswer> SendAsync(string method, string target, params string[] headers)
    {
        await using var connection = await ConnectAsync();
        return await connection.SendAsync(method, target, headers);
    }

    public Task<RawAnswer> GetAsync(string target, params string[] headers) => SendAsync("GET", target, headers);

    public Task<RawAnswer> HeadAsync(string target, params string[] headers) => SendAsync("HEAD", target, headers);

    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await _app.StopAsync(soon.Token);
        TestOutput.Keep("facade", Logs.GetSnapshot().Select(record => record.ToString()));
        await _app.DisposeAsync();
    }

    /// <summary>No other node knows anything.</summary>
    private sealed class LonelyTagMesh : ITagMesh
    {
        public void Tell(TagKey key)
        {
        }

        public Task<TagTarget?> AskAsync(TagKey key, CancellationToken cancellationToken) => Task.FromResult<TagTarget?>(null);
    }
}
