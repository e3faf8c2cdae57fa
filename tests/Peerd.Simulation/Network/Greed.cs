using Peerd.Simulation.Mesh;

namespace Peerd.Simulation.Network;

/// <summary>
/// What the connections from one sender do to others that end at the same link: for one to three seconds at a time they take
/// nearly all of it, as congestion control lets some now and then. What they do not use is left to the others.
/// </summary>
/// <param name="Sender">Number of the sender's uplink.</param>
/// <param name="Share">What they take of a link.</param>
/// <param name="Seed">Of the times.</param>
internal sealed record Greed(int Sender, double Share, int Seed)
{
    private const int Length = -1;

    /// <summary>Until when the connections take this link, as they do half of the time; null when they do not.</summary>
    public TimeSpan? TakesUntil(int link, TimeSpan now)
    {
        var length = TimeSpan.FromSeconds(1 + (2 * Chance.Of(Seed, link, Length)));
        var period = (int)(now / length);
        return Chance.Of(Seed, link, period) < 0.5 ? (period + 1) * length : null;
    }
}
