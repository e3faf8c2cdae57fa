using System.Collections.Concurrent;
using System.Diagnostics;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>Wants a content, and does nothing with what it is told, unless it keeps that.</summary>
internal sealed class SilentUser(Digest digest, bool keeps = false) : IOwnerLinkUser
{
    public ConcurrentQueue<LookupResponse> Heard { get; } = new();

    public Activity? BeginAsking() => null;

    public Want CreateWant() => new() { Member = new Member { Node = "self", Incarnation = 1 }, Digest = digest.ToString() };

    public bool Pushed(LookupResponse push)
    {
        Heard.Enqueue(push);
        return keeps;
    }

    public void OwnerLost()
    {
    }
}
