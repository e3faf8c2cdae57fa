using System.Net;
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
    public void For_PartOfOneClient_NeverTheSecretOfAnother()
    {
        var origins = new ClientOrigins(Alice);
        origins.Join(Bob);

        Assert.Equal(Bob, origins.For(Bob.Equals));
        Assert.Equal(Alice, origins.For(_ => true));
        Assert.Null(origins.For(_ => false));

        Assert.True(origins.Failed(Bob, new SourceFailure(HttpStatusCode.Unauthorized, "no")));
        Assert.Null(origins.For(Bob.Equals));
        Assert.Equal(Alice, origins.For(_ => true));
        Assert.Equal((true, false), (origins.MayServe(Alice), origins.MayServe(Bob)));
    }

    [Fact]
    public void For_WayThatIsNobodysSecret_IsForAll()
    {
        var origins = new ClientOrigins(Alice);
        origins.Join(Nobody);

        Assert.Equal(Nobody, origins.For(_ => false));
        Assert.Equal(Alice, origins.For(Alice.Equals));
        Assert.True(origins.Failed(Alice, new SourceFailure(HttpStatusCode.Unauthorized, "no")));
        Assert.Equal(Nobody, origins.For(Alice.Equals));
    }

    [Fact]
    public void For_AllWaysFailed_EachIsTriedAgainForItsOwn()
    {
        var origins = new ClientOrigins(Alice);
        origins.Join(Bob);
        origins.Failed(Alice, new SourceFailure(HttpStatusCode.Unauthorized, "no"));
        Assert.False(origins.Failed(Bob, new SourceFailure(HttpStatusCode.Unauthorized, "no")));

        Assert.Equal(Bob, origins.For(Bob.Equals));
        Assert.Null(origins.For(_ => false));
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
        Assert.False(origins.Failed(Bob, new SourceFailure(HttpStatusCode.NotFound, "no")));
    }

    [Fact]
    public void Failed_OneWay_TheOthersAreTriedAndEachKnowsItsOwn()
    {
        var origins = new ClientOrigins(Nobody);
        origins.Join(Alice);
        var refused = new SourceFailure(HttpStatusCode.Unauthorized, "no");

        Assert.True(origins.Failed(Nobody, refused));
        Assert.Equal(Alice, origins.Current);
        Assert.Equal((refused, null), (origins.FailureOf(Nobody), origins.FailureOf(Alice)));

        // Whatever else was under way without credentials.
        Assert.True(origins.Failed(Nobody, refused));
        Assert.Equal(Alice, origins.Current);
    }

    [Fact]
    public void Failed_AllWays_NextTimeThoseThatMayWorkComeFirst()
    {
        var origins = new ClientOrigins(Nobody);
        origins.Join(Alice);
        Assert.True(origins.Failed(Nobody, new SourceFailure(HttpStatusCode.Unauthorized, "no")));

        Assert.False(origins.Failed(Alice, new SourceFailure(HttpStatusCode.ServiceUnavailable, "later")));

        Assert.Equal(Alice, origins.Current);
        origins.Worked(Alice);
        Assert.Null(origins.FailureOf(Alice));
        Assert.True(origins.Failed(Bob, new SourceFailure(HttpStatusCode.Forbidden, "gone meanwhile")));
    }

    [Fact]
    public void Failed_TheOnlyWay_StaysAndIsTriedAgainWhenItsClientComesAgain()
    {
        var origins = new ClientOrigins(Alice);
        Assert.False(origins.Failed(Alice, new SourceFailure(HttpStatusCode.Unauthorized, "no")));
        Assert.False(origins.Failed(Alice, new SourceFailure(HttpStatusCode.Unauthorized, "no")));

        Assert.False(origins.Join(Alice));

        Assert.Null(origins.FailureOf(Alice));
    }

    [Fact]
    public void Join_MoreThanFit_NobodyLosesItsWayAndWhoComesIsToldWhy()
    {
        var origins = Filled();

        Assert.False(origins.Join(Of("new")));

        Assert.All(Enumerable.Range(0, ClientOrigins.Max), i => Assert.True(origins.MayServe(Of($"{i}"))));
        Assert.False(origins.MayServe(Of("new")));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, null), (origins.FailureOf(Of("new"))?.Status, origins.FailureOf(Of("1"))));

        origins.Leave(Of("1"));
        Assert.True(origins.Join(Of("new")));
        Assert.True(origins.MayServe(Of("new")));
    }

    [Fact]
    public void Join_MoreThanFitThatAreNobodysSecret_TheOneInUseStaysAndTheNewestComes()
    {
        var origins = new ClientOrigins(At(0));
        for (var i = 1; i <= 2 * ClientOrigins.Max; i++)
        {
            Assert.True(origins.Join(At(i)));
        }

        Assert.Equal(At(0), origins.Current);
        Assert.True(origins.Join(At(1)));
        Assert.False(origins.Join(At(2 * ClientOrigins.Max)));

        static OriginReference At(int repository) => new("reg.test", $"team/{repository}", OriginKind.Blob, "sha256:x");
    }

    [Fact]
    public void Join_SignaturesWithoutEnd_OnlyTheLastAreKept()
    {
        var origins = new ClientOrigins(Signed(0));
        for (var i = 1; i <= 10_000; i++)
        {
            Assert.True(origins.Join(Signed(i)));
        }

        Assert.Equal(ClientOrigins.Max, origins.Count);
        Assert.All([0, 1, 5000, 10_000], i => Assert.True(origins.MayServe(Signed(i))));

        for (var i = 0; i <= 10_000; i++)
        {
            origins.Leave(Signed(i));
        }

        Assert.Equal(Signed(0), origins.Current);
    }

    [Fact]
    public void Join_SignaturesWithoutEndAndAllRoomTaken_NoneIsKeptAndEachIsToldWhy()
    {
        var origins = Filled();
        for (var i = 1; i <= 10_000; i++)
        {
            Assert.False(origins.Join(Signed(i)));
        }

        Assert.Equal(ClientOrigins.Max, origins.Count);
        Assert.Equal((false, HttpStatusCode.ServiceUnavailable), (origins.MayServe(Signed(1)), origins.FailureOf(Signed(1))?.Status));
    }

    [Fact]
    public void Join_MoreThanFit_ThoseThatDoNotWorkGoFirst()
    {
        var origins = Filled();

        origins.Failed(Of("7"), new SourceFailure(HttpStatusCode.Unauthorized, "no"));
        origins.Join(Of("new"));

        Assert.True(origins.MayServe(Of("1")));
        Assert.False(origins.MayServe(Of("7")));
        Assert.Equal(HttpStatusCode.Unauthorized, origins.FailureOf(Of("7"))?.Status);
    }

    [Fact]
    public void Leave_WasRefusedAndCameAgain_KeepsItsWayForTheOther()
    {
        var origins = Filled();
        Assert.False(origins.Join(Of("new")));
        origins.Leave(Of("1"));
        Assert.True(origins.Join(Of("new")));

        origins.Leave(Of("new"));
        Assert.True(origins.MayServe(Of("new")));

        origins.Leave(Of("new"));
        Assert.False(origins.MayServe(Of("new")));
    }

    // All wait for it.
    [Fact]
    public void Failed_TheRegistryWantsAPause_OnlyAWayThatIsNobodysSecretIsTriedInstead()
    {
        var pause = new SourceFailure(HttpStatusCode.TooManyRequests, "later", RetryAfter: TimeSpan.FromSeconds(1));
        var origins = new ClientOrigins(Alice);
        origins.Join(Bob);

        Assert.False(origins.Failed(Alice, pause));
        Assert.Equal((true, true), (origins.MayServe(Alice), origins.MayServe(Bob)));

        origins.Join(Nobody);
        Assert.True(origins.Failed(Alice, pause));
    }

    private static ClientOrigins Filled()
    {
        var origins = new ClientOrigins(Of("0"));
        for (var i = 1; i < ClientOrigins.Max; i++)
        {
            origins.Join(Of($"{i}"));
        }

        return origins;
    }

    private static OriginReference Signed(int signature) =>
        OriginReference.Of(new GivenUrl(new Uri($"https://store.test/blob?sig={signature}"), authorization: null), "sha256:x");

    private static OriginReference Of(string? user) =>
        new("reg.test", "team/app", OriginKind.Blob, "sha256:x") { Credential = user is null ? CallerCredential.None : new CallerCredential($"Bearer {user}") };
}
