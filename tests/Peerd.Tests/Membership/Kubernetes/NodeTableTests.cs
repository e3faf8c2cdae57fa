using System.Net;
using Peerd.Node.Membership;
using Peerd.Node.Membership.Kubernetes;

namespace Peerd.Tests.Membership.Kubernetes;

public sealed class NodeTableTests
{
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(2);

    private readonly NodeTable _table = new(30001, Grace, former: null);

    [Fact]
    public void MembersAt_NotReadyForLong_LeavesAndComesBack()
    {
        _table.Set(Ready("a"), At(0));
        _table.Set(Ready("b"), At(0));
        Assert.Null(_table.NextLeave(At(0)));

        _table.Set(Unready("b"), At(10));
        _table.Set(Unready("b"), At(50));
        Assert.Equal(At(130), _table.NextLeave(At(50)));
        Assert.Equal(["a", "b"], Members(At(129)));
        Assert.Equal(["a"], Members(At(130)));
        Assert.Null(_table.NextLeave(At(130)));

        _table.Set(Ready("b"), At(140));
        Assert.Equal(["a", "b"], Members(At(140)));
    }

    [Fact]
    public void Set_AsBefore_IsNoChange()
    {
        Assert.True(_table.Set(Ready("a"), At(0)));
        Assert.False(_table.Set(Ready("a"), At(1)));
        Assert.True(_table.Set(Ready("a") with { Zone = "west" }, At(2)));
        Assert.True(_table.Set(Unready("a"), At(3)));
        Assert.False(_table.Set(Unready("a"), At(4)));
        Assert.Equal(At(123), _table.NextLeave(At(4)));

        Assert.True(_table.Remove("a"));
        Assert.False(_table.Remove("a"));
        Assert.True(_table.Set(Ready("a"), At(5)));
    }

    [Fact]
    public void MembersAt_NeverReady_IsNoMember()
    {
        _table.Set(Ready("a"), At(0));
        _table.Set(Unready("new"), At(1));

        Assert.Equal(["a"], Members(At(1)));
        Assert.Null(_table.NextLeave(At(1)));
    }

    [Fact]
    public void ReplaceAll_First_GivesAllTheirGraceAndLaterKeepsIt()
    {
        _table.ReplaceAll([Ready("a"), Unready("b")], At(0));
        Assert.Equal(["a", "b"], Members(At(1)));

        _table.ReplaceAll([Ready("a"), Unready("b"), Unready("new")], At(60));
        Assert.Equal(["a", "b"], Members(At(119)));
        Assert.Equal(["a"], Members(At(120)));

        _table.ReplaceAll([Ready("b")], At(130));
        Assert.Equal(["b"], Members(At(130)));
    }

    [Fact]
    public void ReplaceAll_FirstAfterARestart_GivesItsGraceOnlyToWhoWasAMember()
    {
        var table = new NodeTable(30001, Grace, new MemberList([MemberOf("a"), MemberOf("b")]));

        table.ReplaceAll([Ready("a"), Unready("b"), Unready("c")], At(0));
        Assert.Equal(["a", "b"], Members(table, At(1)));

        table.ReplaceAll([Ready("a"), Unready("b"), Ready("c")], At(60));
        Assert.Equal(["a", "b", "c"], Members(table, At(119)));
        Assert.Equal(["a", "c"], Members(table, At(120)));
    }

    private static Member MemberOf(string name) => new(name, new DnsEndPoint("127.0.0.1", 30001), string.Empty);

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);

    private static NodeFacts Ready(string name) => new(name, IPAddress.Loopback, string.Empty, IsReady: true, IsExcluded: false);

    private static NodeFacts Unready(string name) => Ready(name) with { IsReady = false };

    private IEnumerable<string> Members(TimeSpan now) => Members(_table, now);

    private static IEnumerable<string> Members(NodeTable table, TimeSpan now) => table.MembersAt(now).Members.Select(member => member.Name);
}
