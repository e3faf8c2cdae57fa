namespace Peerd.Node.Membership;

/// <summary>Where the list of members comes from. The only thing in the node that knows how members are found.</summary>
internal interface IMembershipSource
{
    /// <summary>
    /// The list as it is now, then each list that replaces it, until cancelled. A list equal to the former one
    /// is not repeated. Slow readers miss lists in between, never the last one. Any number of readers.
    /// </summary>
    IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken);

    /// <summary>The list is not only what a node believes that knows nothing: it was read from where members are told, now or before.</summary>
    bool IsSynced => true;

    /// <summary>Another process of this node is about to begin with what this one keeps on disk: all of it is there when this completes, unless the disk is slow. Never fails.</summary>
    Task KeepAsync() => Task.CompletedTask;
}
