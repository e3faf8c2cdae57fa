using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>
/// One reads ten segments a second from the origin, and serves eight at a time to the other one then: it is slow when less than a quarter
/// of that arrives, the eight on the way among it. That takes 3.2 seconds to be sure of when none does.
/// </summary>
public sealed class FewHoldersTests
{
    private const int Read = 32;

    private static readonly CoordinatorPolicy Policy = new();
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly HolderTrial _trial = new(Policy);
    private readonly SegmentTable _table = new(Policy, new ContentLayout(256 << 20));
    private readonly Participant _holder = new("holder", string.Empty) { Asker = new Asker() };
    private readonly Participant _other = new("other", string.Empty) { Asker = new Asker() };
    private readonly PieceSet _held;
    private TimeSpan _now;
    private bool _isOriginPaused;

    public FewHoldersTests()
    {
        _held = new PieceSet(_table.Layout.PieceCount);
        _held.AddRun(Read * _table.Layout.PiecesPerSegment, _held.Capacity);
        _table.Enter(_holder);
        _table.Enter(_other);
        _table.SetPieces(_holder, _held);
        _table.AddGrant(_holder, [.. Enumerable.Range(0, Read)], _now);
        Look();
    }

    [Fact]
    public void Look_HolderBringsNothing_IsFoundSlowWhenThatIsSure()
    {
        ReadAll();
        Serve();

        Pass(TimeSpan.FromSeconds(3));
        Assert.False(_holder.IsFoundSlow);

        Pass(TimeSpan.FromSeconds(0.5));
        Assert.True(_holder.IsFoundSlow);
    }

    // The origin would seem to have been slow.
    [Fact]
    public void Look_ReaderWantedNothingOfItsGrantForLong_ThatTimeDoesNotCount()
    {
        _holder.Asker!.Wanted = new PieceSet(_table.Layout.SegmentCount);
        Pass(Minute);
        _holder.Asker.Wanted = null;

        Look_HolderBringsNothing_IsFoundSlowWhenThatIsSure();
    }

    [Fact]
    public void Look_OriginAskedForAPause_ThatTimeDoesNotCount()
    {
        _isOriginPaused = true;
        Pass(Minute);
        _isOriginPaused = false;

        Look_HolderBringsNothing_IsFoundSlowWhenThatIsSure();
    }

    [Fact]
    public void Look_HolderBroughtEnoughForLong_IsFoundSlowSoonAllTheSame()
    {
        ReadAll();
        Serve();
        for (var begun = _now; _now - begun < 1.5 * Policy.LongestTrial;)
        {
            _holder.Served++;
            Pass(Step);
        }

        Pass(0.5 * Policy.LongestTrial);
        Assert.False(_holder.IsFoundSlow);

        Pass(TimeSpan.FromSeconds(5));
        Assert.True(_holder.IsFoundSlow);
    }

    private void ReadAll()
    {
        for (var segment = 0; segment < Read; segment++)
        {
            _held.AddRun(segment * _table.Layout.PiecesPerSegment, _table.Layout.PiecesPerSegment);
            _table.SetPieces(_holder, _held);
            Pass(Step);
        }
    }

    private void Serve()
    {
        for (var segment = 0; segment < Policy.Credits; segment++)
        {
            _table.Begin(_other, _holder, segment, isInOrder: false);
        }

        Look();
    }

    private void Pass(TimeSpan time)
    {
        for (var end = _now + time; _now < end;)
        {
            _now += Step;
            Look();
        }
    }

    private void Look() => _trial.Look([_holder, _other], _table, _isOriginPaused, _now);
}
