using Peerd.Contracts.V1;
using Peerd.Simulation.Mesh;
using Peerd.Simulation.Requesters;

namespace Peerd.Simulation.Owners;

/// <summary>One requester's session with one owner.</summary>
internal sealed class LookupSession(SimulatedOwnerLink link, SimulatedNode requester, OwnerDesk desk)
{
    public SimulatedNode Requester { get; } = requester;

    public OwnerDesk Desk { get; } = desk;

    /// <summary>The requester goes to another owner.</summary>
    public bool IsMoving { get; set; }

    public void Pushed(LookupResponse push) => link.Pushed(this, push);

    public void Broken() => link.Broken(this);
}
