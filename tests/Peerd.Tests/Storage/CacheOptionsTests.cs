using System.Diagnostics.Metrics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class CacheOptionsTests
{
    [Fact]
    public void Validate_Defaults_AreGood()
    {
        var options = new CacheOptions();

        Assert.True(new CacheOptionsValidator().Validate(null, options).Succeeded);
        Assert.Equal(20L << 30, options.CapacityBytes);
        Assert.Equal(64L << 20, options.MemoryBytes);
    }

    [Fact]
    public void Validate_AllWrong_NamesEachKeyAndValue()
    {
        var options = new CacheOptions { Directory = "relative/path", Capacity = "12 apples", Memory = "1KiB" };

        var failures = new CacheOptionsValidator().Validate(null, options).Failures!.ToList();

        Assert.Equal(3, failures.Count);
        Assert.Contains("Peerd:Cache:Directory is 'relative/path'", failures[0], StringComparison.Ordinal);
        Assert.Contains("Peerd:Cache:Capacity is '12 apples'", failures[1], StringComparison.Ordinal);
        Assert.Contains("Peerd:Cache:Memory is '1KiB'", failures[2], StringComparison.Ordinal);
    }

    [Fact]
    public async Task AddPieceCache_HostStarts_OpensTheCacheAndMeasuresIt()
    {
        using var folder = new CacheFolder();
        using var host = Build(folder.Path, "3MiB");
        await host.StartAsync(TestContext.Current.CancellationToken);
        var cache = host.Services.GetRequiredService<PieceCache>();
        var meters = host.Services.GetRequiredService<IMeterFactory>();
        using var bytes = new MetricCollector<long>(meters, "Peerd", "peerd.cache.bytes");
        using var capacity = new MetricCollector<long>(meters, "Peerd", "peerd.cache.capacity");
        using var evictions = new MetricCollector<long>(meters, "Peerd", "peerd.cache.evictions");

        new SampleContent(1, 2 << 20).WriteAll(cache);
        new SampleContent(2, 2 << 20).WriteAll(cache);
        bytes.RecordObservableInstruments();
        capacity.RecordObservableInstruments();
        evictions.RecordObservableInstruments();

        Assert.Equal(cache.UsedBytes, bytes.LastMeasurement!.Value);
        Assert.Equal(3L << 20, capacity.LastMeasurement!.Value);
        Assert.Equal(1, evictions.LastMeasurement!.Value);
        await host.StopAsync(TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task AddPieceCache_BadCapacity_StopsTheStart()
    {
        using var folder = new CacheFolder();
        using var host = Build(folder.Path, "lots");

        var failure = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(TestContext.Current.CancellationToken));

        Assert.Contains("Peerd:Cache:Capacity is 'lots'", failure.Message, StringComparison.Ordinal);
    }

    private static IHost Build(string directory, string capacity)
    {
        var builder = Host.CreateEmptyApplicationBuilder(settings: null);
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Peerd:Cache:Directory"] = directory,
            ["Peerd:Cache:Capacity"] = capacity,
        });
        builder.Services.AddPieceCache(builder.Configuration);
        return builder.Build();
    }
}
