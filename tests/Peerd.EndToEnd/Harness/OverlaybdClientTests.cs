using System.Text;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>The client, the registry and its store against each other, without a node in between.</summary>
public sealed class OverlaybdClientTests : IAsyncLifetime
{
    private const string Partial = "HTTP/1.1 206 Partial Content\r\n";

    private readonly FakeTimeProvider _time = new();
    private readonly GeneratedBlob _blob = new(1_000_000, seed: 81);
    private readonly OverlaybdClient _client = new(null);
    private SignedStore _store = null!;
    private TokenRegistry _registry = null!;

    private string Url => _registry.UrlOf(_blob);

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        _store = await SignedStore.StartAsync(_time);
        _store.Add(_blob);
        _registry = await TokenRegistry.StartAsync(_store);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _registry.DisposeAsync();
        await _store.DisposeAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_AllOfABlob_BytesAreRightAndCounted(bool redirects)
    {
        _registry.Redirects = redirects;
        var file = await OpenAsync();

        // The last one begins within the blob and ends behind it.
        for (var offset = 0L; offset < file.Size; offset += 70_001)
        {
            _blob.Demand(offset, await file.ReadAsync(new ByteRange(offset, 70_001), TestContext.Current.CancellationToken));
        }

        Assert.Equal(_blob.Size, file.Size);

        // To find out that the registry serves by itself costs the beginning of a body that is not read.
        Assert.InRange(_store.Bytes, _blob.Size + 1, redirects ? _blob.Size + 1 : (2 * _blob.Size) + 1);
        Assert.Equal((1, 0), (_client.Resolutions, _client.FailedTries));
        Assert.Equal(redirects, _store.Requests > 0);
    }

    [Fact]
    public async Task Read_SignatureOver_IsResolvedAgain()
    {
        var file = await OpenAsync();
        _time.Advance(_store.Lifetime);

        await file.ReadAsync(new(5, 10), TestContext.Current.CancellationToken);

        Assert.Equal((2, 1, 1), (_client.Resolutions, _client.FailedTries, _store.Forbidden));
    }

    [Fact]
    public void IsValid_AnyCharacterChanged_IsRefused()
    {
        var signature = new StoreSignature(_time);
        var target = signature.Sign("//a/b", TimeSpan.FromMinutes(1));

        Assert.True(signature.IsValid(target));
        Assert.All(Enumerable.Range(0, target.Length), i => Assert.False(signature.IsValid($"{target[..i]}*{target[(i + 1)..]}")));
        Assert.False(signature.IsValid(target.Replace("%7E", "~", StringComparison.Ordinal)));
        Assert.False(signature.IsValid(target.Replace("%2d", "%2D", StringComparison.Ordinal)));
        Assert.False(signature.IsValid(target[1..]));
        Assert.NotEqual(target, signature.Sign("//a/b", TimeSpan.FromMinutes(1)));
    }

    [Theory]
    [InlineData(401, OverlaybdError.NotPermitted)]
    [InlineData(403, OverlaybdError.NotPermitted)]
    [InlineData(404, OverlaybdError.NotFound)]
    [InlineData(416, OverlaybdError.Failed)]
    [InlineData(429, OverlaybdError.Busy)]
    [InlineData(503, OverlaybdError.Failed)]
    public async Task Open_StoreRefuses_IsTriedAgainAndToldThen(int status, OverlaybdError error)
    {
        _store.AnswerWith(status);

        var failure = await Assert.ThrowsAsync<OverlaybdException>(OpenAsync);

        Assert.Equal(error, failure.Error);
        Assert.Equal(status, failure.Status);
        Assert.Equal((OverlaybdClient.MaxTries, OverlaybdClient.MaxTries), (_store.Requests, _client.Resolutions));
    }

    [Fact]
    public async Task Open_StoreGone_IsTriedAgainAndToldThen()
    {
        await _store.StopAsync();

        var failure = await Assert.ThrowsAsync<OverlaybdException>(OpenAsync);

        Assert.Equal(OverlaybdError.Failed, failure.Error);
        Assert.Null(failure.Status);
        Assert.Equal(OverlaybdClient.MaxTries, _client.Resolutions);
    }

    [Theory]
    [InlineData(StoreFault.CutBody)]
    [InlineData(StoreFault.ResetBody)]
    public async Task Read_BodyCut_IsBroken(StoreFault fault)
    {
        var file = await OpenAsync();
        _store.Fail(fault);

        await Assert.ThrowsAsync<BrokenAnswerException>(() => file.ReadAsync(new(100, 1000), TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "content-range: bytes 2-5/10\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n3\r\n345\r\n0\r\n\r\n")]
    public async Task Read_GoodAnswer_IsTaken(string answer) => Assert.Equal("2345", Encoding.Latin1.GetString((await AskAsync(answer)).Body));

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "Content-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 2-5/*\r\nContent-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 3-6/10\r\nContent-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 2-5/11\r\nContent-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nContent-Length: 5\r\n\r\n23456")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\n23")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\n23456")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\n2345")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n234\r\n0\r\n\r\n")]
    [InlineData(Partial + "Content-Range: bytes 2-5/10\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n2345\r\n")]
    [InlineData("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 10\r\n\r\nsorry")]
    public async Task Read_AnswerThatTheRealOneBelieves_IsBroken(string answer) => await Assert.ThrowsAsync<BrokenAnswerException>(() => AskAsync(answer));

    [Fact]
    public async Task Read_NoAnswer_IsATryThatFailed() => await Assert.ThrowsAsync<IOException>(() => AskAsync(string.Empty));

    private Task<OverlaybdFile> OpenAsync() => _client.OpenAsync(Url, TestContext.Current.CancellationToken);

    private async Task<OverlaybdAnswer> AskAsync(string answer)
    {
        await using var server = new ScriptedServer(answer);
        using var client = new OverlaybdClient($"{server.Url}/blobs");
        return await client.TryAsync(Url, new(2, 4), 10, TestContext.Current.CancellationToken);
    }
}
