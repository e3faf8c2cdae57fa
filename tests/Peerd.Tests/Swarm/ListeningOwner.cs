using System.Collections.Concurrent;
using System.Net;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Swarm;

/// <summary>Hears what it is told, and says nothing.</summary>
internal sealed class ListeningOwner : ILookupHandler
{
    private int _sessions;

    public ConcurrentQueue<(int Session, LookupRequest Request)> Heard { get; } = new();

    public int Sessions => Volatile.Read(ref _sessions);

    public ILookupSession Open(Want want, IPAddress? from = null)
    {
        return new Session(this, Interlocked.Increment(ref _sessions));
    }

    private sealed class Session(ListeningOwner owner, int number) : ILookupSession
    {
        public CancellationToken Cut => CancellationToken.None;

        public void Apply(LookupRequest request) => owner.Heard.Enqueue((number, request));

        public async ValueTask<LookupResponse> NextAsync(CancellationToken cancellationToken)
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return new LookupResponse();
        }

        public void Dispose()
        {
        }
    }
}
