namespace Peerd.Benchmarks.Owner;

/// <summary>What coordinating one herd has cost.</summary>
/// <param name="Seconds">From the first stream's beginning to the last one's end.</param>
/// <param name="Errors">Of requesters whose stream ended before they had everything.</param>
/// <param name="ProcessorSeconds">Processor time of the owner's process.</param>
/// <param name="ProcessorSecondsOfHerd">Processor time of this process, which plays the requesters.</param>
/// <param name="Received">Messages that the owner received.</param>
/// <param name="Sent">Messages that the owner sent.</param>
/// <param name="MostReceived">Messages that it received from one requester, at most.</param>
/// <param name="MostSent">Messages that it sent to one requester, at most.</param>
/// <param name="MachineBusy">Which part of the whole machine's processors was busy with this or anything else.</param>
internal sealed record OwnerOutcome(
    double Seconds,
    IReadOnlyList<string> Errors,
    double ProcessorSeconds,
    double ProcessorSecondsOfHerd,
    long Received,
    long Sent,
    int MostReceived,
    int MostSent,
    double MachineBusy)
{
    private const double Micro = 1e-6;

    public double MicrosecondsPerMessage => ProcessorSeconds / Micro / (Received + Sent);

    public double Cores => ProcessorSeconds / Seconds;
}
