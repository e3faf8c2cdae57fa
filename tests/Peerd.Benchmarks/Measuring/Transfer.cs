using System.Diagnostics;

namespace Peerd.Benchmarks.Measuring;

/// <summary>What moving some bytes from one process to another has cost.</summary>
/// <param name="Bytes">Bytes of content.</param>
/// <param name="Seconds">From the first request to the last byte.</param>
/// <param name="SenderSeconds">Processor time of the sender.</param>
/// <param name="ReceiverSeconds">Processor time of the receiver.</param>
internal sealed record Transfer(long Bytes, double Seconds, double SenderSeconds, double ReceiverSeconds)
{
    private const double Mega = 1e6;
    private const double Giga = 1e9;

    public double MegabytesPerSecond => Bytes / Mega / Seconds;

    /// <summary>Processor seconds of both ends per 10^9 bytes.</summary>
    public double SecondsPerGigabyte => (SenderSeconds + ReceiverSeconds) / (Bytes / Giga);

    /// <summary>Measures a transfer.</summary>
    /// <param name="sender">Id of the sending process.</param>
    /// <param name="receiverTime">Reads the processor time of the receiver.</param>
    /// <param name="receiveAsync">Receives everything and returns how much it was.</param>
    public static async Task<Transfer> MeasureAsync(int sender, Func<double> receiverTime, Func<Task<long>> receiveAsync)
    {
        var (senderBefore, receiverBefore, start) = (ProcessorTime.Of(sender), receiverTime(), Stopwatch.GetTimestamp());
        var bytes = await receiveAsync();
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new Transfer(bytes, seconds, ProcessorTime.Of(sender) - senderBefore, receiverTime() - receiverBefore);
    }
}
