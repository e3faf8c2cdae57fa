using Peerd.Node.Origin;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class ClientOriginsTests
{
    private static readonly OriginReference Nobody = Of(null);
    private static readonly OriginReference Alice = Of("alice");
    private static readonly OriginReference Bob = Of("bob");

    [Fact]
    public void Leave_OthersGoOn_TheCredentialIsForgotten()
    {
        var origins = new ClientOrigins(Alice);
        Assert.True(origins.Join(Nobody));
        Assert.Equal(Alice, origins.Current);

        origins.Leave(Alice);

        Assert.Equal(Nobody, origins.Current);
    }

    [Fact]
    public void Leave_OneOfTwoWithTheSame_ItStays()
    {
        var origins = new ClientOrigins(Alice);
        Assert.False(origins.Join(Alice));
        origins.Join(Nobody);

        origins.Leave(Alice);

        Assert.Equal(Alice, origins.Current);
    }

    [Fact]
    public void Join_AfterTheLastLeft_OnlyTheSameClientFindsItsCredential()
    {
        var origins = new ClientOrigins(Alice);
        origins.Leave(Alice);
        Assert.False(origins.Join(Alice));
        origins.Leave(Alice);

        Assert.True(origins.Join(Bob));

        Assert.Equal(Bob, origins.Current);
        Assert.False(origins.HasAnother(Bob));
    }

    [Fact]
    public void HasAnother_UselessWay_IsGoneButTheLastStays()
    {
        var origins = new ClientOrigins(Nobody);
        origins.Join(Alice);

        Assert.True(origins.HasAnother(Nobody));
        Assert.Equal(Alice, origins.Current);
        Assert.False(origins.HasAnother(Alice));
        Assert.Equal(Alice, origins.Current);
    }

    [Fact]
    public void Join_MoreThanFit_TheOldestGoes()
    {
        var origins = new ClientOrigins(Of("0"));
        for (var i = 1; i <= ClientOrigins.Max; i++)
        {
            origins.Join(Of($"{i}"));
        }

        Assert.Equal(Of("1"), origins.Current);
        origins.Leave(Of("0"));
        Assert.Equal(Of("1"), origins.Current);
    }

    private static OriginReference Of(string? user) =>
        new("reg.test", "team/app", OriginKind.Blob, "sha256:x") { Credential = user is null ? CallerCredential.None : new CallerCredential($"Bearer {user}") };
}
