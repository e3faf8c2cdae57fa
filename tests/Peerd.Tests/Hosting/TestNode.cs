using System.Net;
using System.Net.Http.Headers;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Directory;
using Peerd.Node.Hosting;
using Peerd.Node.Ring;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Hosting;

/// <summary>What a client of the facade got.</summary>
/// <param name="Status">Status of the answer.</param>
/// <param name="Bytes">All bytes of the body that arrived.</param>
/// <param name="IsComplete">The body had all bytes that its head had promised.</param>
/// <param name="Failure">Why it has not.</param>
/// <param name="Headers">Headers of the body.</param>
/// <param name="Log">What the node had logged when the body was cut.</param>
internal sealed record FacadeAnswer(HttpStatusCode Status, byte[] Bytes, bool IsComplete, Exception? Failure, HttpContentHeaders Headers, string Log)
{
    /// <summary>The connection was closed in an orderly way before all bytes had come: containerd comes back for the rest.</summary>
    public bool IsCutByFin => Failure is HttpIOException { HttpRequestError: HttpRequestError.ResponseEnded };

    /// <summary>Fails the test unless these are the bytes, all of them.</summary>
    public void ShouldBe(ReadOnlySpan<byte> expected)
    {
        if (Status is not (HttpStatusCode.OK or HttpStatusCode.PartialContent))
        {
            // As text only here: to decode tens of megabytes takes longer than to read them.
            Assert.Fail($"answered {Status}: {System.Text.Encoding.UTF8.GetString(Bytes)}");
        }

        Assert.True(IsComplete, $"cut after {Bytes.Length} of {expected.Length} bytes: {Failure?.Message}\n{Log}");
        Assert.Equal(expected.Length, Bytes.Length);
        var same = expected.CommonPrefixLength(Bytes);
        Assert.True(same == expected.Length, $"wrong from byte {same} on");
    }
}

/// <summary>One whole node within the process of the tests, and a client of it.</summary>
internal sealed class TestNode : IAsyncDisposable
{
    public const string Registry = "registry.test";

    private readonly WebApplication _host;
    private readonly MetricCollector<long> _integrityFailures;
    private readonly Lazy<GrpcChannel> _channel;
    private bool _isStopped;

    private TestNode(string name, WebApplication host)
    {
        Name = name;
        _host = host;
        var listeners = host.Services.GetRequiredService<Listeners>();
        MeshEndPoint = listeners.Mesh;
        Client = new HttpClient { BaseAddress = new Uri($"http://{listeners.Facade}"), Timeout = Wait.Longest };
        Metrics = new Uri($"http://{listeners.Metrics}");
        _integrityFailures = new MetricCollector<long>(host.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), "Peerd", "peerd.integrity.failures");
        _channel = new Lazy<GrpcChannel>(() => GrpcChannel.ForAddress($"http://{MeshEndPoint}"));
    }

    public string Name { get; }

    public IPEndPoint MeshEndPoint { get; }

    /// <summary>Where probes and metrics are.</summary>
    public Uri Metrics { get; }

    /// <summary>A client of the facade.</summary>
    public HttpClient Client { get; }

    /// <summary>A connection to the mesh listener.</summary>
    public GrpcChannel Channel => _channel.Value;

    public FakeLogCollector Logs => _host.Services.GetFakeLogCollector();

    public PieceCache Cache => Get<PieceCache>();

    public Downloads Downloads => Get<Downloads>();

    public HolderDirectory Directory => Get<HolderDirectory>();

    /// <summary>Wrong frames and contents that the node has counted.</summary>
    public long IntegrityFailures => _integrityFailures.GetMeasurementSnapshot().EvaluateAsCounter();

    public static async Task<TestNode> StartAsync(string name, IReadOnlyList<string> settings, FileInfo? config, Action<IServiceCollection> customize)
    {
        var host = NodeHost.Create(
            [
                $"--Peerd:Node:Name={name}",
                "--Peerd:Facade:Listen=127.0.0.1:0",
                "--Peerd:Mesh:Listen=127.0.0.1:0",
                "--Peerd:Metrics:Listen=127.0.0.1:0",

                // Counted by process, and all tests are one.
                "--Peerd:Limits:Memory=0",
                $"--Peerd:Origin:Registries:0:Name={Registry}",
                "--Peerd:Origin:RetryDelay=5ms",
                "--Peerd:Log:Level=Debug",
                .. settings,
            ],
            config,
            builder =>
            {
                builder.Logging.ClearProviders().AddFakeLogging();
                customize(builder.Services);
            });
        try
        {
            await host.StartAsync();
            return new TestNode(name, host);
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    private string LogText() => string.Join('\n', Logs.GetSnapshot().Where(record => record.Category?.StartsWith("Peerd", StringComparison.Ordinal) ?? false).TakeLast(60));

    public T Get<T>()
        where T : notnull => _host.Services.GetRequiredService<T>();

    public async Task WaitForMembersAsync(int count)
    {
        using var patience = new CancellationTokenSource(Wait.Longest);
        await foreach (var ring in Get<RingSource>().WatchAsync(patience.Token))
        {
            if (ring.Count == count)
            {
                return;
            }
        }
    }

    /// <summary>Reads a blob as containerd does.</summary>
    public async Task<FacadeAnswer> GetAsync(Digest digest, string? range = null)
    {
        using var response = await SendAsync(digest, range);
        var bytes = new MemoryStream();
        using var patience = new CancellationTokenSource(Wait.Longest);
        try
        {
            await (await response.Content.ReadAsStreamAsync()).CopyToAsync(bytes, patience.Token);
            return new FacadeAnswer(response.StatusCode, bytes.ToArray(), IsComplete: true, Failure: null, response.Content.Headers, Log: string.Empty);
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException)
        {
            return new FacadeAnswer(response.StatusCode, bytes.ToArray(), IsComplete: false, e, response.Content.Headers, LogText());
        }
    }

    /// <summary>Asks for a blob; the head of the answer is there, its body is not read yet.</summary>
    public async Task<HttpResponseMessage> SendAsync(Digest digest, string? range = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/library/test/blobs/{digest}?ns={Registry}");
        if (range is not null)
        {
            request.Headers.TryAddWithoutValidation("Range", range);
        }

        return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    /// <summary>Asks its listener of metrics.</summary>
    public async Task<HttpStatusCode> ProbeAsync(string path)
    {
        using var client = new HttpClient { BaseAddress = Metrics };
        using var answer = await client.GetAsync(path);
        return answer.StatusCode;
    }

    /// <summary>Waits until it says that it is ready: on a machine that is busy it may not answer itself in time at first.</summary>
    public Task WaitUntilReadyAsync() => Wait.UntilAsync(async () => await ProbeAsync("/readyz") == HttpStatusCode.OK, $"{Name} is ready");

    /// <summary>Stops the node as SIGTERM does.</summary>
    public async Task StopAsync()
    {
        if (!_isStopped)
        {
            _isStopped = true;
            await _host.StopAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (_channel.IsValueCreated)
        {
            _channel.Value.Dispose();
        }

        await StopAsync();
        _integrityFailures.Dispose();
        TestOutput.Keep(Name, Logs.GetSnapshot().Select(record => record.ToString()));
        await _host.DisposeAsync();
    }
}
