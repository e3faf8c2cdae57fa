using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

/// <summary>
/// The facade's sockets, which count what is handed to them to be sent: each such write is a system call and, for a client that
/// waits for it, maybe a packet of its own. Thread-safe.
/// </summary>
internal sealed class CountedTransport(FacadeTransport inner, CountedTransport.Counter counter) : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    public bool CanBind(EndPoint endpoint) => inner.CanBind(endpoint);

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new Listener(await inner.BindAsync(endpoint, cancellationToken), counter);

    /// <summary>Writes so far.</summary>
    internal sealed class Counter
    {
        private int _writes;

        public int Writes => Volatile.Read(ref _writes);

        public void Add() => Interlocked.Increment(ref _writes);
    }

    private sealed class Listener(IConnectionListener inner, Counter counter) : IConnectionListener
    {
        public EndPoint EndPoint => inner.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            var connection = await inner.AcceptAsync(cancellationToken);
            if (connection is not null)
            {
                connection.Transport = new Pipes(connection.Transport.Input, new Output(connection.Transport.Output, counter));
            }

            return connection;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    private sealed record Pipes(PipeReader Input, PipeWriter Output) : IDuplexPipe;

    private sealed class Output(PipeWriter inner, Counter counter) : PipeWriter
    {
        private bool _hasBytes;

        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override void Advance(int bytes)
        {
            _hasBytes |= bytes > 0;
            inner.Advance(bytes);
        }

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            if (_hasBytes)
            {
                _hasBytes = false;
                counter.Add();
            }

            return inner.FlushAsync(cancellationToken);
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);
    }
}
