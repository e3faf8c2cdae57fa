using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Herd;

/// <summary>
/// Reads before and after a herd what it has cost: at the registry, on the links, in the processes of the nodes or of the proxy, and in this
/// one, in which everyone pulls.
/// </summary>
internal sealed class HerdMeter
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // What is seen within one pause at rest.
    private const long QuietBytes = 20_000;
    private const double QuietProcessorSeconds = 0.05;
    private const double QuietProcessorSecondsOfANode = 0.004;

    private readonly HerdSite _site;
    private readonly IReadOnlyList<LabHost> _uploaders;
    private readonly IReadOnlyList<RunningProcess> _processes;
    private readonly Dictionary<int, double> _processorSeconds = [];
    private readonly Dictionary<int, long> _peakMemory = [];
    private double _processorBefore;
    private double _pullersBefore;
    private (double Busy, double Possible) _machineBefore;
    private long[] _uploadsBefore = [];
    private long _wireBefore;
    private long _bytesBefore;
    private int _requestsBefore;

    private HerdMeter(HerdSite site, IReadOnlyList<LabHost> uploaders, IReadOnlyList<RunningProcess> processes)
    {
        _site = site;
        _uploaders = uploaders;
        _processes = processes;
    }

    /// <summary>Waits until everything that was started is at rest, and reads for the first time.</summary>
    public static async Task<HerdMeter> StartAsync(HerdSite site, IReadOnlyList<LabHost> uploaders, IReadOnlyList<RunningProcess> processes, CancellationToken cancellationToken)
    {
        var meter = new HerdMeter(site, uploaders, processes);
        await meter.RestAsync(cancellationToken);
        foreach (var process in processes)
        {
            meter.Read(process);
        }

        meter._processorBefore = meter._processorSeconds.Values.Sum();
        meter._uploadsBefore = await meter.ReadUploadsAsync();
        meter._wireBefore = await site.RegistryHost.ReadSentOnWireAsync();
        (meter._bytesBefore, meter._requestsBefore) = meter.ReadRegistry();
        PeakMemory.Reset(Environment.ProcessId);
        meter._pullersBefore = ProcessorTime.OfSelf();
        meter._machineBefore = ProcessorTime.OfMachine();
        return meter;
    }

    /// <summary>Reads a process for the last time that will be killed.</summary>
    public void Read(RunningProcess process)
    {
        _processorSeconds[process.Id] = ProcessorTime.Of(process.Id);
        _peakMemory[process.Id] = PeakMemory.Of(process.Id);
    }

    /// <summary>Reads the processes at the end of the pulls, waits for what the registry still sends, and counts.</summary>
    public async Task<HerdOutcome> FinishAsync(IReadOnlyList<double> seconds, int failed, long imageSize, long delivered, CancellationToken cancellationToken)
    {
        var (busy, possible) = ProcessorTime.OfMachine();
        var (pullers, pullersMemory) = (ProcessorTime.OfSelf() - _pullersBefore, PeakMemory.Of(Environment.ProcessId));
        foreach (var process in _processes.Where(process => !process.HasExited))
        {
            Read(process);
        }

        // The registry logs a request when it ends.
        await RestAsync(cancellationToken);
        var uploads = await ReadUploadsAsync();
        var (bytes, requests) = ReadRegistry();
        return new HerdOutcome(
            seconds,
            failed,
            imageSize,
            delivered,
            bytes - _bytesBefore,
            await _site.RegistryHost.ReadSentOnWireAsync() - _wireBefore,
            requests - _requestsBefore,
            uploads.Zip(_uploadsBefore, (after, before) => after - before).DefaultIfEmpty().Max(),
            _processorSeconds.Values.Sum() - _processorBefore,
            _peakMemory.Values.DefaultIfEmpty().Max(),
            pullers,
            pullersMemory,
            (busy - _machineBefore.Busy) / (possible - _machineBefore.Possible));
    }

    private async Task RestAsync(CancellationToken cancellationToken)
    {
        var quiet = QuietProcessorSeconds + (QuietProcessorSecondsOfANode * _processes.Count);
        using var patience = new CancellationTokenSource(Patience);
        var (bytes, processor) = await ReadActivityAsync();
        while (!patience.IsCancellationRequested)
        {
            await Task.Delay(Pause, cancellationToken);
            var (bytesNow, processorNow) = await ReadActivityAsync();
            if (bytesNow - bytes < QuietBytes && processorNow - processor < quiet)
            {
                return;
            }

            (bytes, processor) = (bytesNow, processorNow);
        }
    }

    private async Task<(long Bytes, double ProcessorSeconds)> ReadActivityAsync() => (
        (await _site.RegistryHost.ReadTrafficAsync()).SentBytes,
        _processes.Where(process => !process.HasExited).Sum(process => ProcessorTime.Of(process.Id)));

    private Task<long[]> ReadUploadsAsync() => Task.WhenAll(_uploaders.Select(async host => (await host.ReadTrafficAsync()).SentBytes));

    private (long Bytes, int Requests) ReadRegistry()
    {
        var read = _site.Registry.ReadSoFar();
        return (read.Values.Sum(traffic => traffic.Bytes), read.Values.Sum(traffic => traffic.Requests));
    }
}
