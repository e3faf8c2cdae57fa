using System.Net.Sockets;
using System.Text;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Reads blobs as overlaybd does: it asks the registry where a blob is, and reads ranges of it through the node, which is
/// given the URL as it came. It has overlaybd's rules for failures; but an answer that overlaybd believes although it is
/// wrong is a <see cref="BrokenAnswerException"/> here. Thread-safe.
/// </summary>
/// <param name="address">
/// Its <c>p2pConfig.address</c>, such as <c>http://127.0.0.1:30000/blobs</c>; null reads from where the registry says.
/// </param>
internal sealed class OverlaybdClient(string? address) : IDisposable
{
    /// <summary>Reads that are under way at the same time at most.</summary>
    public const int MaxReads = 16;

    /// <summary>Tries of one read at most.</summary>
    public const int MaxTries = 4;

    private const int MaxErrorText = 64 * 1024;

    /// <summary>For all tries of one read together.</summary>
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    private readonly SemaphoreSlim _slots = new(MaxReads);
    private readonly WireConnections _connections = new();
    private readonly OverlaybdResolver _resolver = new();
    private int _failedTries;

    /// <summary>How often a registry was asked where a blob is.</summary>
    public int Resolutions => _resolver.Resolutions;

    /// <summary>Tries after which there was another one.</summary>
    public int FailedTries => Volatile.Read(ref _failedTries);

    /// <summary>Finds out the size of a blob.</summary>
    /// <exception cref="OverlaybdException">All tries have failed.</exception>
    /// <exception cref="BrokenAnswerException">An answer is wrong in a way that the real client does not notice.</exception>
    public async Task<OverlaybdFile> OpenAsync(string blobUrl, CancellationToken cancellationToken) =>
        new(this, blobUrl, (await ReadAsync(blobUrl, new ByteRange(0, 1), null, cancellationToken)).Size);

    /// <summary>Reads a range that lies within the blob.</summary>
    /// <inheritdoc cref="OpenAsync"/>
    internal async Task<OverlaybdAnswer> ReadAsync(string blobUrl, ByteRange range, long? size, CancellationToken cancellationToken)
    {
        await _slots.WaitAsync(cancellationToken);
        try
        {
            return await TryAllAsync(blobUrl, range, size, cancellationToken);
        }
        finally
        {
            _slots.Release();
        }
    }

    /// <summary>One try of a read, whatever it is answered with.</summary>
    /// <exception cref="IOException">The node ended the connection without an answer.</exception>
    /// <exception cref="SocketException">The node cannot be reached, or broke the connection.</exception>
    /// <exception cref="OverlaybdException">The registry does not tell where the blob is.</exception>
    /// <exception cref="BrokenAnswerException">The answer is wrong in a way that the real client does not notice.</exception>
    public async Task<OverlaybdAnswer> TryAsync(string blobUrl, ByteRange range, long? size, CancellationToken cancellationToken)
    {
        var resolving = _resolver.ResolveAsync(blobUrl);
        try
        {
            var answer = await GetAsync(await resolving.WaitAsync(cancellationToken), range, size, cancellationToken);
            if (answer.Status != 206)
            {
                _resolver.Forget(blobUrl, resolving);
            }

            return answer;
        }
        catch
        {
            _resolver.Forget(blobUrl, resolving);
            throw;
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _connections.Dispose();
        _slots.Dispose();
    }

    private async Task<OverlaybdAnswer> TryAllAsync(string blobUrl, ByteRange range, long? size, CancellationToken cancellationToken)
    {
        using var budget = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        budget.CancelAfter(Budget);
        for (var tries = 1; ; tries++)
        {
            OverlaybdException failure;
            try
            {
                var answer = await TryAsync(blobUrl, range, size, budget.Token);
                if (answer.Status == 206)
                {
                    return answer;
                }

                failure = new OverlaybdException(answer.Status, $"{range} of {blobUrl}: {Encoding.UTF8.GetString(answer.Body)}");
            }
            catch (OverlaybdException e)
            {
                failure = e;
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                failure = new OverlaybdException(OverlaybdError.Failed, $"{range} of {blobUrl}: {e.Message}", e);
            }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                throw new OverlaybdException(OverlaybdError.TimedOut, $"{range} of {blobUrl}: no answer within {Budget.TotalSeconds} s, {tries} tries", e);
            }

            if (tries == MaxTries)
            {
                throw failure;
            }

            Interlocked.Increment(ref _failedTries);
            await Task.Delay(Pause, cancellationToken);
        }
    }

    private async Task<OverlaybdAnswer> GetAsync(BlobLocation location, ByteRange range, long? size, CancellationToken cancellationToken)
    {
        var (authority, target) = WireUrl.Split(address is null ? location.Url : $"{address}/{location.Url}");
        var connection = await _connections.TakeAsync(authority, cancellationToken);
        try
        {
            var head = await connection.AskAsync(
                target,
                [
                    $"Range: bytes={range.Offset}-{range.End - 1}",
                    "User-Agent: overlaybd/1.0.18",
                    .. location.Authorization is { } authorization ? [$"Authorization: {authorization}"] : Array.Empty<string>(),
                ],
                cancellationToken);
            if (head.Status is not (200 or 206))
            {
                return new OverlaybdAnswer(head.Status, await connection.ReadBodyAsync(head, MaxErrorText, cancellationToken), 0);
            }

            var total = OverlaybdAnswer.DemandRange(head, range, size);
            var body = await connection.ReadBodyAsync(head, (int)range.Length, cancellationToken);
            return body.Length == range.Length
                ? new OverlaybdAnswer(head.Status, body, total)
                : throw new BrokenAnswerException($"{body.Length} bytes to the range {range}");
        }
        finally
        {
            _connections.Return(connection);
        }
    }
}
