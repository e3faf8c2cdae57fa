using Peerd.Contracts.V1;
using Peerd.Simulation.Mesh;
using Peerd.Simulation.Requesters;

namespace Peerd.Simulation.Owners;

/// <summary>One requester's session with one owner.</summary>
internal sealed class LookupSession(SimulatedOwnerLink link, SimulatedNode requester, OwnerDesk desk)
{
    public SimulatedNode Requester { get; } = requester;

    public OwnerDesk Desk { get; } = desk;

    public void Pushed(LookupResponse push) => link.Pushed(this, push);

    public void Broken() => link.Broken(this);
}
