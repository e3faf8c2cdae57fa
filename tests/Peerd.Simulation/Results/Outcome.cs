namespace Peerd.Simulation.Results;

/// <summary>What came of one simulation. Shares are of the bound: 1 is the best that is possible.</summary>
internal sealed record Outcome
{
    /// <summary>The share of the bound that the median node has reached.</summary>
    public required double MedianShare { get; init; }

    /// <summary>The share of the bound that the last node has reached; 0 when a node never got all.</summary>
    public required double LastShare { get; init; }

    /// <summary>From its own start until the node that took longest had all.</summary>
    public required TimeSpan Longest { get; init; }

    /// <summary>Bytes that the origin sent, in sizes of all contents.</summary>
    public required double Amplification { get; init; }

    public required int OriginRequests { get; init; }

    /// <summary>What the busiest node sent to others, in sizes of all contents.</summary>
    public required double BusiestUpload { get; init; }

    /// <summary>Messages to and from owners, per node.</summary>
    public required double MessagesPerNode { get; init; }

    /// <summary>Bytes that crossed from one zone to another, in sizes of all contents.</summary>
    public required double Crossed { get; init; }

    /// <summary>Nodes that were not killed and never got all.</summary>
    public required int Unfinished { get; init; }

    /// <summary>Requests to the origin without a grant.</summary>
    public required int LastResorts { get; init; }

    /// <summary>Ranges that a holder refused because it served as many as it may.</summary>
    public required int Refused { get; init; }

    /// <summary>Frames that came to a node that had them.</summary>
    public required long Repeated { get; init; }

    /// <summary>Messages that coordinators took, and pushes that they made.</summary>
    public required long CoordinatorMessages { get; init; }

    /// <summary>Processor time in coordinators; zero unless it was measured.</summary>
    public required TimeSpan CoordinatorTime { get; init; }

    /// <summary>Events that the simulation consisted of.</summary>
    public required long Events { get; init; }
}
