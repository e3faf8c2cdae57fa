using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

/// <summary>The sockets of one listener, which can be lost, and which can take connections that nobody ever answers. Thread-safe.</summary>
internal sealed class SwitchedTransport(ListenerKind kind, SwitchedTransport.Switch control, Listeners listeners, IOptions<SocketTransportOptions> options, ILoggerFactory loggers)
    : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private readonly SocketTransportFactory _sockets = new(options, loggers);

    public bool CanBind(EndPoint endpoint) => ReferenceEquals(endpoint, kind == ListenerKind.Facade ? listeners.Facade : listeners.Mesh);

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        control.Use(await _sockets.BindAsync(endpoint, cancellationToken));

    /// <summary>What happens to the listener.</summary>
    internal sealed class Switch
    {
        private volatile TaskCompletionSource? _hang;
        private IConnectionListener? _listener;
        private int _accepted;

        /// <summary>Connections that have come so far.</summary>
        public int Accepted => Volatile.Read(ref _accepted);

        /// <summary>The system refuses connections from now on; those that are open stay.</summary>
        public ValueTask LoseAsync() => _listener!.UnbindAsync();

        /// <summary>Connections are taken, and wait until <see cref="GoOn"/>.</summary>
        public void Hang() => _hang = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        public void GoOn()
        {
            _hang?.SetResult();
            _hang = null;
        }

        public IConnectionListener Use(IConnectionListener listener)
        {
            _listener = listener;
            return new Listener(listener, this);
        }

        private sealed class Listener(IConnectionListener inner, Switch control) : IConnectionListener
        {
            public EndPoint EndPoint => inner.EndPoint;

            public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
            {
                var connection = await inner.AcceptAsync(cancellationToken);
                if (connection is not null)
                {
                    Interlocked.Increment(ref control._accepted);
                    await (control._hang?.Task.WaitAsync(cancellationToken) ?? Task.CompletedTask);
                }

                return connection;
            }

            public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

            public ValueTask DisposeAsync() => inner.DisposeAsync();
        }
    }
}
