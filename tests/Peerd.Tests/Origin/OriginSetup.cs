using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

/// <summary>The origin client as the node wires it, pointed at fake registries, which it reads anonymously if nothing else is said.</summary>
internal sealed class OriginSetup : IAsyncDisposable
{
    private readonly ServiceProvider _services;

    public OriginSetup(FakeRegistry registry, params ReadOnlySpan<(string Key, string Value)> settings)
        : this([("reg.test", registry.Url)], null, null, settings)
    {
    }

    public OriginSetup((string Name, string Endpoint)[] registries, HostResolver? resolver, TimeProvider? time, params ReadOnlySpan<(string Key, string Value)> settings)
    {
        var values = new Dictionary<string, string?> { ["Peerd:Origin:RetryDelay"] = "1ms", ["Peerd:Origin:Auth"] = "anonymous" };
        for (var i = 0; i < registries.Length; i++)
        {
            values[$"Peerd:Origin:Registries:{i}:Name"] = registries[i].Name;
            values[$"Peerd:Origin:Registries:{i}:Endpoint"] = registries[i].Endpoint;
        }

        foreach (var (key, value) in settings)
        {
            values[key.Contains(':', StringComparison.Ordinal) && key.StartsWith("Blobs", StringComparison.Ordinal) ? $"Peerd:{key}" : $"Peerd:Origin:{key}"] = value;
        }

        var services = new ServiceCollection();
        services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Trace).AddFakeLogging());
        if (resolver is not null)
        {
            services.AddSingleton(resolver);
        }

        if (time is not null)
        {
            services.AddSingleton(time);
        }

        services.AddOrigin(new ConfigurationBuilder().AddInMemoryCollection(values).Build());
        _services = services.BuildServiceProvider();
        var meters = _services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>();
        BytesRead = new MetricCollector<long>(meters, OriginMetrics.MeterName, OriginMetrics.BytesName);
        RequestsSent = new MetricCollector<long>(meters, OriginMetrics.MeterName, OriginMetrics.RequestsName);
        Unasked = new MetricCollector<long>(meters, OriginMetrics.MeterName, OriginMetrics.UnaskedName);
        Origin = _services.GetRequiredService<IOrigin>();

        // What never happened was counted as 0.
        RequestsSent.Clear();
        Unasked.Clear();
    }

    public IOrigin Origin { get; }

    public FakeLogCollector Logs => _services.GetFakeLogCollector();

    public MetricCollector<long> BytesRead { get; }

    public MetricCollector<long> RequestsSent { get; }

    /// <summary>One measurement for each answer given without asking.</summary>
    public MetricCollector<long> Unasked { get; }

    public static OriginReference Blob(Digest digest, string registry = "reg.test") => new(registry, "team/app", OriginKind.Blob, digest.ToString());

    public static OriginReference Manifest(string reference, string registry = "reg.test") => new(registry, "team/app", OriginKind.Manifest, reference);

    public static byte[] Bytes(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static async Task<byte[]> ReadAllAsync(OriginResponse response)
    {
        Assert.Equal((OriginOutcome.Ok, string.Empty), (response.Outcome, response.Error));
        using var bytes = new MemoryStream();
        await response.Body.CopyToAsync(bytes, TestContext.Current.CancellationToken);
        return bytes.ToArray();
    }

    public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range = null) =>
        Origin.ReadAsync(reference, range, TestContext.Current.CancellationToken);

    public Task<OriginResponse> StatAsync(OriginReference reference) => Origin.StatAsync(reference, TestContext.Current.CancellationToken);

    /// <summary>Reads a blob and drops it; how it went.</summary>
    public async Task<(OriginOutcome Outcome, HttpStatusCode Status)> TryAsync(OriginReference reference, ByteRange? range = null)
    {
        await using var response = await ReadAsync(reference, range);
        if (response.Outcome == OriginOutcome.Ok)
        {
            await ReadAllAsync(response);
        }
        else
        {
            Assert.NotEmpty(response.Error);
        }

        return (response.Outcome, response.Status);
    }

    public async ValueTask DisposeAsync()
    {
        AssertNothingSecret(Logs.GetSnapshot().Select(record => record.ToString()));
        TestOutput.Keep("origin", Logs.GetSnapshot().Select(record => record.ToString()));
        BytesRead.Dispose();
        RequestsSent.Dispose();
        Unasked.Dispose();
        await _services.DisposeAsync();
    }

    /// <summary>No text has a token or the signature of a URL in it.</summary>
    public static void AssertNothingSecret(IEnumerable<string> texts) => Assert.All(texts, text =>
    {
        Assert.DoesNotContain(FakeRegistry.TokenPrefix, text, StringComparison.Ordinal);
        Assert.DoesNotContain(PrivateRegistry.PasswordPrefix, text, StringComparison.Ordinal);
        Assert.DoesNotContain(FakeRegistry.SignaturePrefix, text, StringComparison.Ordinal);
        Assert.DoesNotContain("sig=", text, StringComparison.Ordinal);
    });
}
