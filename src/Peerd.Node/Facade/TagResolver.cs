using System.Net;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Origin;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Facade;

/// <summary>How a tag was resolved.</summary>
internal enum TagSource
{
    /// <summary>By the registry.</summary>
    Origin,

    /// <summary>The registry is down, and this node knew where the tag pointed last.</summary>
    StaleLocal,

    /// <summary>The registry is down, and another node knew.</summary>
    StaleMesh,

    /// <summary>Not at all.</summary>
    Failed,
}

/// <summary>What a tag points to, or why that is not known.</summary>
/// <param name="Digest">Digest of the manifest.</param>
/// <param name="MediaType">Its media type; null when unknown.</param>
/// <param name="Size">Its size; null when unknown.</param>
/// <param name="Age">How long ago the registry said so; null when it was asked just now.</param>
/// <param name="Error">Why it is not known; null when it is.</param>
internal sealed record ResolvedTag(Digest Digest, string? MediaType, long? Size, TimeSpan? Age, RegistryError? Error = null);

/// <summary>
/// Asks the registry where a tag points. Only when that is down, and not when it says no, the last word counts that this
/// node or the mesh has of it. Thread-safe.
/// </summary>
internal sealed partial class TagResolver(
    IOrigin origin, TagDirectory tags, ITagMesh mesh, IOptions<FacadeOptions> options, FacadeMetrics metrics, TimeProvider time, ILogger<TagResolver> logger) : IAsyncDisposable
{
    /// <summary>Tags that are asked for again at a time, behind answers that did without.</summary>
    private const int MaxLate = 64;

    private static readonly TimeSpan LongestPatience = TimeSpan.FromSeconds(3);

    // A registry that is silent is down, too, and the client must be answered before it gives up.
    private readonly TimeSpan _patience = options.Value.AnswerTimeoutValue / 2 < LongestPatience ? options.Value.AnswerTimeoutValue / 2 : LongestPatience;
    private readonly TimeSpan _longest = options.Value.AnswerTimeoutValue;
    private readonly Dictionary<TagKey, Task> _late = [];
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop = new();

    public async Task<ResolvedTag> ResolveAsync(OriginReference reference, CancellationToken deadline)
    {
        var key = new TagKey(reference.Registry, reference.Repository, reference.Reference);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(deadline);
        var asking = origin.StatAsync(reference, enough.Token);
        if (tags.IsOn && !await IsSoonAsync(asking, deadline) && await FindStaleAsync(key, deadline) is { } known)
        {
            await enough.CancelAsync();
            await DropAsync(asking);
            BeginRefresh(reference, key);
            return known;
        }

        await using var response = await asking;
        if (response.IsDown && tags.IsOn && await FindStaleAsync(key, deadline) is { } stale)
        {
            return stale;
        }

        var resolved = Note(response, key);
        metrics.TagResolved(resolved.Error is null ? TagSource.Origin : TagSource.Failed);
        return resolved;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        Task[] late;
        lock (_lock)
        {
            late = [.. _late.Values];
        }

        await Task.WhenAll(late).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    /// <summary>Makes of an answer what is to be said, and remembers it.</summary>
    private ResolvedTag Note(OriginResponse response, TagKey key)
    {
        if (Refusal(response) is { } error)
        {
            if (response.Status is HttpStatusCode.NotFound or HttpStatusCode.Gone && tags.IsOn && tags.Gone(key))
            {
                mesh.Tell(key);
            }

            return new ResolvedTag(default, null, null, null, error);
        }

        var digest = response.ContentDigest!.Value;
        if (tags.IsOn)
        {
            tags.Resolved(key, digest, response.MediaType, response.TotalSize);
            mesh.Tell(key);
        }

        return new ResolvedTag(digest, response.MediaType, response.TotalSize, Age: null);
    }

    /// <summary>
    /// A registry that always takes its time would never tell anything new: it is asked again, and nobody waits. Not with what a
    /// client brought, which goes with its request.
    /// </summary>
    private void BeginRefresh(OriginReference reference, TagKey key)
    {
        if (reference.IsPrivate)
        {
            return;
        }

        lock (_lock)
        {
            if (_late.Count < MaxLate && !_late.ContainsKey(key) && !_stop.IsCancellationRequested)
            {
                _late.Add(key, Detached.Run(() => RefreshAsync(reference, key)));
            }
        }
    }

    private async Task RefreshAsync(OriginReference reference, TagKey key)
    {
        using var longest = new CancellationTokenSource(_longest, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(longest.Token, _stop.Token);
        try
        {
            await using var response = await origin.StatAsync(reference, either.Token);
            Note(response, key);
        }
        catch (OperationCanceledException)
        {
            // It is down, as was assumed.
        }
        finally
        {
            lock (_lock)
            {
                _late.Remove(key);
            }
        }
    }

    private async Task<bool> IsSoonAsync(Task asking, CancellationToken deadline)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(deadline);
        await Task.WhenAny(asking, Task.Delay(_patience, time, over.Token));
        await over.CancelAsync();
        return asking.IsCompleted;
    }

    private async Task<ResolvedTag?> FindStaleAsync(TagKey key, CancellationToken deadline)
    {
        var local = tags.Find(key);
        if ((local ?? await mesh.AskAsync(key, deadline)) is not { IsGone: false } target)
        {
            return null;
        }

        var age = tags.AgeOf(target);
        metrics.TagResolved(local is null ? TagSource.StaleMesh : TagSource.StaleLocal);
        Log.Stale(logger, key, target.Digest, (long)age.TotalSeconds);
        return new ResolvedTag(target.Digest, target.MediaType.Length > 0 ? target.MediaType : null, target.Size > 0 ? target.Size : null, age);
    }

    private static async Task DropAsync(Task<OriginResponse> asking)
    {
        try
        {
            await (await asking).DisposeAsync();
        }
        catch (OperationCanceledException)
        {
            // As was asked for.
        }
    }

    private static RegistryError? Refusal(OriginResponse resolved)
    {
        if (resolved.Outcome != OriginOutcome.Ok)
        {
            return RegistryError.Of(resolved);
        }

        return resolved.ContentDigest is null
            ? RegistryError.BadGateway(RegistryError.Unavailable, "the registry does not say which digest the tag has")
            : resolved.TotalSize is { } size && size > FacadeOptions.MaxManifestSize
                ? RegistryError.BadGateway(RegistryError.ManifestInvalid, $"the manifest has {size} bytes, more than {FacadeOptions.MaxManifestSize}")
                : null;
    }

    private static partial class Log
    {
        [LoggerMessage(20, LogLevel.Debug, "{Tag} is answered with {Digest}, which the registry said {Seconds} s ago: it is down")]
        public static partial void Stale(ILogger logger, TagKey tag, Digest digest, long seconds);
    }
}
