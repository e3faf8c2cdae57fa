using System.Net;
using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

public sealed class MemberListTests
{
    [Fact]
    public void MemberList_AnyOrder_IsSortedByOrdinal() =>
        Assert.Equal(["B", "a", "b", "é"], TestMembership.ListOf("é", "b", "a", "B").Members.Select(member => member.Name));

    [Fact]
    public void MemberList_NameTwice_IsRefused()
    {
        var error = Assert.Throws<ArgumentException>(() => TestMembership.ListOf("a", "b", "a"));

        Assert.Contains("'a'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Equals_SameMembers_IsTrueAndAnyDifferenceIsSeen()
    {
        var list = TestMembership.ListOf("a", "b");
        var b = TestMembership.MemberOf("b");
        MemberList[] others =
        [
            MemberList.Empty,
            TestMembership.ListOf("a"),
            TestMembership.ListOf("a", "c"),
            new([TestMembership.MemberOf("a"), b with { Zone = "other" }]),
            new([TestMembership.MemberOf("a"), b with { Address = new DnsEndPoint("b.test", 1) }]),
            new([TestMembership.MemberOf("a"), b with { Address = new DnsEndPoint("c.test", 30001) }]),
        ];

        Assert.Equal(list, TestMembership.ListOf("b", "a"));
        Assert.Equal(list.GetHashCode(), TestMembership.ListOf("b", "a").GetHashCode());
        Assert.All(others, other => Assert.NotEqual(list, other));
        Assert.False(list.Equals(null));
    }
}
