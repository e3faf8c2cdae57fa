using System.Diagnostics;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>Wants a content, and does nothing with what it is told.</summary>
internal sealed class SilentUser(Digest digest) : IOwnerLinkUser
{
    public Activity? BeginAsking() => null;

    public Want CreateWant() => new() { Member = new Member { Node = "self", Incarnation = 1 }, Digest = digest.ToString() };

    public void Pushed(LookupResponse push)
    {
    }

    public void OwnerLost()
    {
    }
}
