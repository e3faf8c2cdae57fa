using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Finds out the size of one content: who is to begin to read it. One, or several when two have failed, which may be all that the others
/// would tell, too. Nobody else while somebody does so who asked another owner before, or still does; for a while, because others say so.
/// Not thread-safe.
/// </summary>
internal sealed class SizeProbes(CoordinatorPolicy policy)
{
    /// <summary>Segment that is granted for it.</summary>
    public const int Segment = 0;

    private readonly TimeSpan _patience = 2 * policy.Lease;

    /// <summary>Who finds it out, and since when.</summary>
    private readonly Dictionary<Participant, TimeSpan> _probers = [];
    private int _failed;

    /// <summary>When somebody was first known to find it out: what others say of it counts for a while from then on, however often they do.</summary>
    private TimeSpan? _since;
    private TimeSpan _elsewhereUntil = TimeSpan.MinValue;

    /// <summary>The grant for it.</summary>
    public static SegmentRun Run => new() { First = Segment, Count = 1 };

    /// <summary>Who is finding it out.</summary>
    public IReadOnlyCollection<Participant> Probers => _probers.Keys;

    public bool Contains(Participant participant) => _probers.ContainsKey(participant);

    /// <summary>They, for another owner: whatever a piece is, they are receiving the first.</summary>
    public IEnumerable<Holder> Tell() => Probers.Select(static prober => new Holder { Node = prober.Node, Receiving = { new PieceRun { Count = 1 } } });

    /// <summary>Somebody knows another way to the origin: what it is told, one finds out first.</summary>
    public void ForgetFailures() => _failed = 0;

    /// <summary>The node is finding it out, as it was told to before it asked here.</summary>
    public void Continue(Participant participant, TimeSpan now)
    {
        _since ??= now;
        if (now - _since <= _patience)
        {
            _probers.TryAdd(participant, _since.Value);
            ToldElsewhere();
        }
    }

    /// <summary>What is dealt now may be read twice: somebody who asks another owner finds out the size, and reads what is told of later.</summary>
    public bool IsFoundElsewhere(TimeSpan now) => now < _elsewhereUntil;

    /// <summary>Somebody is finding it out who asks another owner, or is about to.</summary>
    public void FoundElsewhere(TimeSpan now)
    {
        _since ??= now;
        var end = _since.Value + _patience;
        _elsewhereUntil = now + policy.HandOver < end ? now + policy.HandOver : end;
    }

    /// <summary>What was to be told of it has been.</summary>
    public void ToldElsewhere() => _elsewhereUntil = TimeSpan.MinValue;

    /// <summary>The node does not ask any more, or goes on with another owner.</summary>
    public void Left(Participant participant, bool isMoving, TimeSpan now)
    {
        if (_probers.Remove(participant) && isMoving)
        {
            FoundElsewhere(now);
        }
    }

    /// <summary>One is enough when all is well. What nobody has all must have asked for: one after the other would take too long.</summary>
    public void Deal(List<Participant> askers, OriginDealer dealer, TimeSpan now)
    {
        // The first may only have lacked a token: of several each would read a small content whole.
        var most = _failed > 1 ? policy.Readers : 1;
        while (_probers.Count < most && dealer.ChooseProber(askers.FindAll(asker => !Contains(asker)), now) is { } prober)
        {
            _since ??= now;
            _probers.Add(prober, now);
            prober.Asker!.GrantedEver++;
            prober.Asker.Pending.Granted.Add(Run);
        }
    }

    /// <summary>A report of somebody, which may give it up.</summary>
    public void Reported(Participant participant, GrantReport report)
    {
        if (report.GivenBack.Any(static run => run.First == Segment) && _probers.Remove(participant))
        {
            // Who is told to pause is not told that there is nothing.
            _failed += report.OriginFailed && report.OriginPauseMs == 0 ? 1 : 0;
        }
    }

    /// <summary>Others ask, too: who has said nothing for so long is not waited for.</summary>
    public void EndSilent(TimeSpan now)
    {
        foreach (var (silent, _) in _probers.Where(prober => now - prober.Value > _patience).ToList())
        {
            silent.Asker!.Pending.Revoked.Add(Run);
            _probers.Remove(silent);
        }
    }

    /// <summary>The size is known: one of those who were to find it out reads on, if there is one.</summary>
    /// <param name="teller">The node that did; null when it came from elsewhere.</param>
    public Participant? End(string? teller)
    {
        var reader = _probers.Keys.FirstOrDefault(prober => prober.Node == teller) ?? _probers.Keys.FirstOrDefault();
        foreach (var prober in _probers.Keys.Where(prober => prober != reader))
        {
            prober.Asker!.Pending.Revoked.Add(Run);
        }

        _probers.Clear();
        return reader;
    }
}
