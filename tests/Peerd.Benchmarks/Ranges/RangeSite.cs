using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Ranges;

/// <summary>What stays the same for all cases: the files, the store that has them, and the hosts when links are limited.</summary>
/// <param name="Settings">What is asked for.</param>
/// <param name="Store">The origin: what URLs lead to.</param>
/// <param name="Content">The file that is read.</param>
/// <param name="WarmUp">Another file, read before anything is measured.</param>
/// <param name="NodeHosts">Hosts for nodes; none when all run on loopback.</param>
internal sealed record RangeSite(RangeSettings Settings, Nginx Store, BenchmarkFile Content, BenchmarkFile WarmUp, IReadOnlyList<LabHost> NodeHosts)
{
    private const int MostNodes = 5;
    private const long WarmUpSize = 256 << 20;
    private const int WarmUpSeed = 20_250_102;

    // Signed URLs are what overlaybd mostly brings.
    private const string Query = "?se=2030-01-01T00%3A00%3A00Z&sig=S3cretbm90IGEgc2lnbmF0dXJl";

    /// <summary>Makes the files, the hosts and the store.</summary>
    public static async Task<RangeSite> CreateAsync(Lab lab, RangeSettings settings, long size, CancellationToken cancellationToken)
    {
        var folder = lab.CreateFolder("files");
        var content = await BenchmarkFile.CreateAsync(folder, size, cancellationToken);
        var warmUp = await BenchmarkFile.CreateAsync(folder, WarmUpSize, WarmUpSeed, cancellationToken);
        LabHost? storeHost = null;
        var nodeHosts = new List<LabHost>();
        if (settings.Rate is { } rate)
        {
            var network = await LabNetwork.CreateAsync(lab);
            storeHost = await network.AddHostAsync("store", rate);
            for (var i = 1; i <= MostNodes; i++)
            {
                nodeHosts.Add(await network.AddHostAsync($"n{i}", rate));
            }
        }

        return new RangeSite(settings, await Nginx.StartAsync(lab, folder, storeHost), content, warmUp, nodeHosts);
    }

    /// <summary>Where the store has a file.</summary>
    public Uri UrlOf(BenchmarkFile file) => new(Store.Endpoint, file.StorePath + Query);
}
