using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class SizeProbesTests
{
    private static readonly CoordinatorPolicy Policy = new();

    private readonly SizeProbes _probes = new(Policy);
    private readonly OriginDealer _dealer = new(Policy);
    private readonly List<Participant> _askers =
        [.. Enumerable.Range(0, 2 * Policy.Readers).Select(static number => new Participant($"n{number}", string.Empty) { Asker = new Asker { CanReachOrigin = true } })];

    [Fact]
    public void Deal_AllIsWell_OneIsEnough()
    {
        Deal();
        Deal();

        Assert.Single(_probes.Probers);
        Assert.Equal(1, CountGranted());
    }

    // Who is told to pause is not told that there is nothing.
    [Theory]
    [InlineData(1, 0, 1)]
    [InlineData(2, 0, 8)]
    [InlineData(2, 1000, 1)]
    public void Deal_SomeHaveFailed_SeveralAtOnceWhenTwoHave(int failures, uint pause, int expected)
    {
        FailFirst(failures, pause);

        Deal();

        Assert.Equal(expected, _probes.Probers.Count);
    }

    [Fact]
    public void ForgetFailures_TwoHaveFailed_OneIsEnoughAgain()
    {
        FailFirst(2, pause: 0);
        _probes.ForgetFailures();

        Deal();

        Assert.Single(_probes.Probers);
    }

    [Fact]
    public void EndSilent_TwoLeasesHavePassed_AnotherFindsItOut()
    {
        Deal();
        var silent = _probes.Probers.Single();

        _probes.EndSilent(2 * Policy.Lease);
        Assert.Same(silent, _probes.Probers.Single());

        _probes.EndSilent((2 * Policy.Lease) + TimeSpan.FromTicks(1));
        Assert.Empty(_probes.Probers);
        Assert.Single(silent.Asker!.Pending.Revoked);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void End_SeveralFindItOut_OnlyOneReadsOn(bool isTold)
    {
        FailFirst(2, pause: 0);
        Deal();
        var expected = isTold ? _probes.Probers.Last() : _probes.Probers.First();

        Assert.Same(expected, _probes.End(isTold ? expected.Node : null));

        Assert.Empty(_probes.Probers);
        Assert.Equal(Policy.Readers - 1, _askers.Count(asker => asker != expected && asker.Asker!.Pending.Revoked.Count > 0));
        Assert.Empty(expected.Asker!.Pending.Revoked);
    }

    [Fact]
    public void Continue_SomebodyDoesSoAlready_NobodyElseFindsItOut()
    {
        _probes.Continue(_askers[3], TimeSpan.Zero);

        Deal();

        Assert.Same(_askers[3], Assert.Single(_probes.Probers));
        Assert.Equal(0, CountGranted());
    }

    // Whoever says so may lie, or come back as often as it likes.
    [Fact]
    public void Continue_AgainAndAgain_CountsFromWhenSomebodyFirstFoundItOut()
    {
        for (var now = TimeSpan.Zero; now <= 2 * Policy.Lease; now += Policy.Lease / 4)
        {
            _probes.Continue(_askers[3], now);
            _probes.EndSilent(now);
            Assert.Single(_probes.Probers);
            _probes.Left(_askers[3], isMoving: false, now);
        }

        _probes.Continue(_askers[3], 2 * Policy.Lease);
        _probes.EndSilent((2 * Policy.Lease) + TimeSpan.FromTicks(1));
        Assert.Empty(_probes.Probers);

        _probes.Continue(_askers[3], (2 * Policy.Lease) + TimeSpan.FromTicks(1));
        Assert.Empty(_probes.Probers);
    }

    [Fact]
    public void FoundElsewhere_OnceOrAgainAndAgain_EndsAfterAWhile()
    {
        _probes.FoundElsewhere(TimeSpan.Zero);
        Assert.True(_probes.IsFoundElsewhere(Policy.HandOver - TimeSpan.FromTicks(1)));
        Assert.False(_probes.IsFoundElsewhere(Policy.HandOver));

        var now = TimeSpan.Zero;
        for (; now < 10 * Policy.Lease && _probes.IsFoundElsewhere(now); now += Policy.HandOverInterval)
        {
            _probes.FoundElsewhere(now);
        }

        Assert.Equal(2 * Policy.Lease, now);
    }

    [Fact]
    public void Continue_WhoWasHeardOfHasCome_NothingMoreIsToBeHeard()
    {
        _probes.FoundElsewhere(TimeSpan.Zero);

        _probes.Continue(_askers[3], TimeSpan.Zero);

        Assert.False(_probes.IsFoundElsewhere(TimeSpan.Zero));
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Left_GoesOnElsewhere_OnlyThenItIsFoundOutThere(bool findsItOut, bool isMoving)
    {
        Deal();
        var leaving = _askers.First(asker => _probes.Contains(asker) == findsItOut);

        _probes.Left(leaving, isMoving, TimeSpan.Zero);

        Assert.Equal(findsItOut && isMoving, _probes.IsFoundElsewhere(TimeSpan.Zero));
        Assert.False(_probes.Contains(leaving));
    }

    private void Deal() => _probes.Deal(_askers, _dealer, TimeSpan.Zero);

    private int CountGranted() => _askers.Sum(static asker => asker.Asker!.Pending.Granted.Count);

    private void FailFirst(int failures, uint pause)
    {
        for (var i = 0; i < failures; i++)
        {
            Deal();
            _probes.Reported(
                _probes.Probers.Single(),
                new GrantReport { OriginFailed = true, OriginPauseMs = pause, GivenBack = { new SegmentRun { First = SizeProbes.Segment, Count = 1 } } });
        }
    }
}
