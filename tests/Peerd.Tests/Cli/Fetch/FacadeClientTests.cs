using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Cli.Fetch;

namespace Peerd.Tests.Cli.Fetch;

public class FacadeClientTests
{
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(60);
    private static readonly byte[] Blob = new byte[3000];
    private static readonly Digest BlobDigest = Digest.OfSha256(Blob);

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task ReadBlob_NodeDoesNotAnswer_GivesUpAfterTheIdleTime()
    {
        var asked = new TaskCompletionSource();
        await using var server = await StartAsync(async context =>
        {
            asked.SetResult();
            await UntilGoneAsync(context);
        });
        using var http = FacadeClient.CreateHttpClient();

        var reading = Client(http, server).ReadBlobAsync("app", BlobDigest, null, Stream.Null, new ContentProgress("blob", BlobDigest, 0), CancellationToken.None);
        await asked.Task;
        _time.Advance(Idle);

        var exception = await Assert.ThrowsAsync<PullException>(() => reading);
        Assert.Equal($"reg.test/app blobs/{BlobDigest}: no answer for 60 s", exception.Message);
    }

    [Fact]
    public async Task ReadBlob_BytesStopComing_GivesUpAfterTheIdleTime()
    {
        await using var server = await StartAsync(async context =>
        {
            context.Response.ContentLength = Blob.Length;
            await context.Response.Body.WriteAsync(Blob.AsMemory(0, 1000));
            await context.Response.Body.FlushAsync();
            await UntilGoneAsync(context);
        });
        using var http = FacadeClient.CreateHttpClient();
        using var destination = new SignallingStream();

        var reading = Client(http, server).ReadBlobAsync("app", BlobDigest, null, destination, new ContentProgress("blob", BlobDigest, 0), CancellationToken.None);
        await destination.Written;
        _time.Advance(Idle);

        var exception = await Assert.ThrowsAsync<PullException>(() => reading);
        Assert.Equal($"blob {BlobDigest}: no bytes for 60 s, after 1000 bytes", exception.Message);
    }

    [Fact]
    public async Task ReadBlob_SlowButSteady_IsNotGivenUp()
    {
        using var more = new SemaphoreSlim(1);
        await using var server = await StartAsync(async context =>
        {
            context.Response.ContentLength = Blob.Length;
            for (var offset = 0; offset < Blob.Length; offset += 1000)
            {
                await more.WaitAsync(context.RequestAborted);
                await context.Response.Body.WriteAsync(Blob.AsMemory(offset, 1000));
                await context.Response.Body.FlushAsync();
            }
        });
        using var http = FacadeClient.CreateHttpClient();
        using var destination = new SignallingStream();
        var progress = new ContentProgress("blob", BlobDigest, Blob.Length);

        var reading = Client(http, server).ReadBlobAsync("app", BlobDigest, null, destination, progress, CancellationToken.None);
        for (var i = 0; i < 2; i++)
        {
            await destination.Written;
            destination.Arm();

            // Twice this is more than the limit; each alone is less.
            _time.Advance(Idle * 0.6);
            more.Release();
        }

        await reading;
        Assert.True(progress.IsVerified);
    }

    [Fact]
    public async Task ReadManifest_LargerThanAllowed_IsNotReadToTheEnd()
    {
        var sent = 0L;
        await using var server = await StartAsync(async context =>
        {
            // No Content-Length: only counting helps.
            while (!context.RequestAborted.IsCancellationRequested)
            {
                await context.Response.Body.WriteAsync(new byte[64 * 1024]);
                Interlocked.Add(ref sent, 64 * 1024);
            }
        });
        using var http = FacadeClient.CreateHttpClient();

        var exception = await Assert.ThrowsAsync<PullException>(() =>
            Client(http, server).ReadManifestAsync("app", BlobDigest, null, new ContentProgress("manifest", BlobDigest, 0), CancellationToken.None));

        Assert.Equal($"manifest {BlobDigest} has more than 4194304 bytes", exception.Message);
    }

    private static Task UntilGoneAsync(HttpContext context) =>
        Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);

    private static async Task<WebApplication> StartAsync(RequestDelegate handle)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        app.Run(handle);
        await app.StartAsync();
        return app;
    }

    private FacadeClient Client(HttpClient http, WebApplication server) => new(http, new Uri(server.Urls.First()), "reg.test", Idle, _time);

    /// <summary>Says when bytes have been written to it.</summary>
    private sealed class SignallingStream : MemoryStream
    {
        private TaskCompletionSource _written = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Written => _written.Task;

        public void Arm() => _written = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _written.TrySetResult();
            return ValueTask.CompletedTask;
        }
    }
}
