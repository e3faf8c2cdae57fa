using System.Net;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class BlobPausesTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly BlobPauses _pauses;

    public BlobPausesTests() => _pauses = new BlobPauses("store.test:443", _time, new FakeLogger());

    [Fact]
    public void Heed_MoreCredentialsThanAreToldApart_IsForEverybodyUntilItIsOver()
    {
        for (var i = 0; i < BlobPauses.MostCredentials; i++)
        {
            Ask(i, seconds: 10);
        }

        Assert.Null(RefusalOf(1000));
        Ask(2000, seconds: 5);
        Assert.Equal(TimeSpan.FromSeconds(5), RefusalOf(1000)?.RetryAfter);

        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Null(RefusalOf(1000));
        Assert.NotNull(RefusalOf(0));

        // Those that are over take no room.
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.False(_pauses.Any);
        Ask(3000, seconds: 5);
        Assert.NotNull(RefusalOf(3000));
        Assert.Null(RefusalOf(0));
        Assert.True(_pauses.Any);
    }

    [Fact]
    public void Heed_AnswersThatAskForNoPause_AreNotRemembered()
    {
        for (var i = 0; i < 2 * BlobPauses.MostCredentials; i++)
        {
            _pauses.Heed(Who(i), HttpStatusCode.OK, retryAfter: null);
            _pauses.Heed(Who(i), HttpStatusCode.NotFound, TimeSpan.FromSeconds(5));
        }

        Assert.False(_pauses.Any);
        Ask(1, seconds: 5);
        Assert.Null(RefusalOf(2));
    }

    private void Ask(int who, int seconds) => _pauses.Heed(Who(who), HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(seconds));

    private OriginFailure? RefusalOf(int who) => _pauses.RefusalOf(Who(who));

    private static UInt128 Who(int number) => BlobPauses.WhoBrings($"Bearer {number}");
}
