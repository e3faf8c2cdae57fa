using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Mesh.Tls;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh.Tls;

/// <summary>When a connection whose certificates are not valid any more is closed.</summary>
public sealed class CertifiedConnectionsTests : IAsyncDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly Pipe _fromCaller = new();
    private readonly Pipe _toCaller = new();
    private readonly DefaultConnectionContext _connection;

    public CertifiedConnectionsTests() => _connection = new DefaultConnectionContext("1", new Ends(_fromCaller.Reader, _toCaller.Writer), new Ends(_toCaller.Reader, _fromCaller.Writer));

    [Fact]
    public async Task Serve_Left_IsClosedByTheCallerWhoGoesOnTellingWhatHeHasTaken()
    {
        var serving = ServeAsync(leaves: true);
        await _fromCaller.Writer.WriteAsync(new byte[100], TestContext.Current.CancellationToken);
        Assert.False(serving.IsCompleted);

        await _fromCaller.Writer.CompleteAsync();
        await serving.WaitAsync(Wait.Longest);
    }

    [Fact]
    public async Task Serve_LeftAndTheCallerKeepsIt_IsClosedAfterAWhile()
    {
        var serving = ServeAsync(leaves: true);
        _time.Advance(TimeSpan.FromSeconds(9));
        Assert.False(serving.IsCompleted);

        _time.Advance(TimeSpan.FromSeconds(1));
        await serving.WaitAsync(Wait.Longest);
    }

    [Fact]
    public async Task Serve_LeftAndTheConnectionBreaks_Ends()
    {
        var serving = ServeAsync(leaves: true);
        await _fromCaller.Writer.CompleteAsync(new ConnectionResetException("it broke"));
        await serving.WaitAsync(Wait.Longest);
    }

    [Fact]
    public async Task Serve_EndedForAnotherReason_IsClosedAtOnce() => await ServeAsync(leaves: false).WaitAsync(Wait.Longest);

    public async ValueTask DisposeAsync() => await _connection.DisposeAsync();

    private Task ServeAsync(bool leaves) => new CertifiedConnections(_time, NullLogger<CertifiedConnections>.Instance).ServeAsync(
        _connection,
        connection =>
        {
            if (leaves)
            {
                connection.Features.Get<CertifiedConnection>()!.Leave();
            }

            return Task.CompletedTask;
        });

    private sealed record Ends(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
