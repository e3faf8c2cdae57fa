using System.Threading.Channels;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Contracts.ContainerdApi;
using ContentApi = Peerd.Contracts.ContainerdApi.Content;
using EventsApi = Peerd.Contracts.ContainerdApi.Events;
using IntrospectionApi = Peerd.Contracts.ContainerdApi.Introspection;

namespace Peerd.Tests.Storage.Containerd;

/// <summary>containerd's services as far as the node uses them, on a unix socket, with a store of real files.</summary>
internal sealed class FakeContainerd : IAsyncDisposable
{
    private const int MessageSize = 400_000;

    private readonly string _folder = Directory.CreateTempSubdirectory("peerd-fake-").FullName;
    private readonly TaskCompletionSource _silentAsked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private WebApplication? _app;
    private int _reads;
    private volatile string? _silent;
    private volatile Channel<EventEnvelope> _events = Channel.CreateUnbounded<EventEnvelope>();

    public string Socket => Path.Combine(_folder, "c.sock");

    /// <summary>Tell a root whose files nobody finds.</summary>
    public bool HidesFiles { get; init; }

    /// <summary>How many reads there were of contents of more than one byte.</summary>
    public int Reads => _reads;

    private string Blobs => Path.Combine(_folder, "root/blobs/sha256");

    public async Task StartAsync()
    {
        Directory.CreateDirectory(Blobs);
        _events = Channel.CreateUnbounded<EventEnvelope>();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(Socket, listen => listen.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(this);
        _app = builder.Build();
        _app.MapGrpcService<ContentService>();
        _app.MapGrpcService<EventService>();
        _app.MapGrpcService<IntrospectionService>();
        await _app.StartAsync(TestContext.Current.CancellationToken);
    }

    public async Task StopAsync()
    {
        _events.Writer.TryComplete();
        if (_app is { } app)
        {
            _app = null;
            await app.DisposeAsync();
        }
    }

    public string PathOf(Digest digest) => Path.Combine(Blobs, digest.Hex);

    public void Add(SampleContent sample)
    {
        Directory.CreateDirectory(Blobs);
        File.WriteAllBytes(PathOf(sample.Digest), sample.Bytes);
    }

    public void Tell(string topic) => _events.Writer.TryWrite(new EventEnvelope { Namespace = "k8s.io", Topic = topic });

    /// <summary>From now on this call, such as <c>List</c>, has no answer.</summary>
    /// <returns>Completes when it has been made.</returns>
    public Task Silence(string call)
    {
        _silent = call;
        return _silentAsked.Task;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task HearAsync(ServerCallContext context)
    {
        if (_silent is { } silent && context.Method.EndsWith($"/{silent}", StringComparison.Ordinal))
        {
            _silentAsked.TrySetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        }
    }

    internal sealed class ContentService(FakeContainerd fake) : ContentApi.ContentBase
    {
        public override async Task List(ListContentRequest request, IServerStreamWriter<ListContentResponse> responseStream, ServerCallContext context)
        {
            await fake.HearAsync(context);
            if (context.RequestHeaders.GetValue("containerd-namespace") != "k8s.io")
            {
                throw new RpcException(new Status(StatusCode.FailedPrecondition, "namespace is required"));
            }

            foreach (var chunk in new DirectoryInfo(fake.Blobs).GetFiles().Chunk(100))
            {
                var answer = new ListContentResponse();
                answer.Info.AddRange(chunk.Select(file => new ContentInfo { Digest = $"sha256:{file.Name}", Size = file.Length }));
                await responseStream.WriteAsync(answer);
            }
        }

        public override async Task Read(ReadContentRequest request, IServerStreamWriter<ReadContentResponse> responseStream, ServerCallContext context)
        {
            await fake.HearAsync(context);
            if (!Digest.TryParse(request.Digest, out var digest) || !File.Exists(fake.PathOf(digest)))
            {
                throw new RpcException(new Status(StatusCode.NotFound, "content not found"));
            }

            if (request.Size > 1)
            {
                Interlocked.Increment(ref fake._reads);
            }

            // As containerd does: messages of bounded size whose offsets begin with 0.
            var bytes = (await File.ReadAllBytesAsync(fake.PathOf(digest), context.CancellationToken)).AsMemory((int)request.Offset, (int)request.Size);
            for (var offset = 0; offset < bytes.Length; offset += MessageSize)
            {
                var data = UnsafeByteOperations.UnsafeWrap(bytes[offset..Math.Min(bytes.Length, offset + MessageSize)]);
                await responseStream.WriteAsync(new ReadContentResponse { Offset = offset, Data = data });
            }
        }
    }

    internal sealed class EventService(FakeContainerd fake) : EventsApi.EventsBase
    {
        public override async Task Subscribe(SubscribeRequest request, IServerStreamWriter<EventEnvelope> responseStream, ServerCallContext context)
        {
            await foreach (var told in fake._events.Reader.ReadAllAsync(context.CancellationToken))
            {
                await responseStream.WriteAsync(told);
            }
        }
    }

    internal sealed class IntrospectionService(FakeContainerd fake) : IntrospectionApi.IntrospectionBase
    {
        public override async Task<PluginsResponse> Plugins(PluginsRequest request, ServerCallContext context)
        {
            await fake.HearAsync(context);
            return new PluginsResponse
            {
                Plugins = { new ContainerdPlugin { Type = "io.containerd.content.v1", Id = "content", Exports = { ["root"] = Path.Combine(fake._folder, fake.HidesFiles ? "hidden" : "root") } } },
            };
        }
    }
}
