using System.Net;
using System.Net.Http.Headers;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Origin;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class OpenRepositoriesTests
{
    private static readonly OriginReference Layer = Of("library/a", "1");
    private static readonly OriginReference AnotherLayer = Of("library/a", "2");
    private static readonly OriginReference Elsewhere = Of("library/b", "1");

    private readonly FakeTimeProvider _time = new();
    private readonly OpenRepositories _repositories;

    public OpenRepositoriesTests() => _repositories = new OpenRepositories(_time);

    [Fact]
    public void Note_AnsweredWithoutAChallenge_TheWholeRepositoryIsOpenForAMinute()
    {
        _repositories.Note(Layer, Answer(HttpStatusCode.NotFound));

        Assert.True(_repositories.IsOpen(AnotherLayer));
        Assert.False(_repositories.IsOpen(Elsewhere));
        Assert.False(_repositories.IsOpen(Layer with { Registry = "other.test" }));
        _time.Advance(OpenRepositories.Memory - TimeSpan.FromTicks(1));
        Assert.True(_repositories.IsOpen(AnotherLayer));
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.False(_repositories.IsOpen(AnotherLayer));
    }

    [Theory]
    [InlineData(HttpStatusCode.OK, "Bearer S3cret-t")]
    [InlineData(HttpStatusCode.TooManyRequests, null)]
    [InlineData(HttpStatusCode.InternalServerError, null)]
    [InlineData(HttpStatusCode.ServiceUnavailable, null)]
    public void Note_AnswerThatSaysNothingOfClientsThatBringNothing_IsNotOpen(HttpStatusCode status, string? authorization)
    {
        var credential = authorization is null ? CallerCredential.None : new CallerCredential(authorization);

        _repositories.Note(Layer with { Credential = credential }, Answer(status));
        _repositories.Note(Layer with { Credential = null }, Answer(HttpStatusCode.OK));
        _repositories.Note(Layer, Answer(HttpStatusCode.Unauthorized, isChallenge: true));

        Assert.False(_repositories.IsOpen(Layer));
    }

    [Fact]
    public async Task AskAsync_ManyAtOnce_OneAsks()
    {
        var (asked, answer) = (0, new TaskCompletionSource<OriginResponse?>());

        var all = Enumerable.Range(0, 10).Select(layer => AskAsync(Of("library/a", $"{layer}"))).ToList();
        Assert.Equal(1, asked);
        answer.SetResult(Answer(HttpStatusCode.OK));

        Assert.Equal(9, (await Task.WhenAll(all)).Count(static other => other is null));
        Assert.Null(await AskAsync(Layer));
        Assert.Equal(1, asked);

        Task<OriginResponse?> AskAsync(OriginReference origin) => _repositories.AskAsync(
            origin,
            () =>
            {
                asked++;
                return answer.Task;
            },
            TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task AskAsync_TheFirstIsChallengedOrGivesUp_TheOthersAskThemselves()
    {
        foreach (var isChallenged in new[] { true, false })
        {
            var first = new TaskCompletionSource<OriginResponse?>();
            var asking = _repositories.AskAsync(Layer, () => first.Task, TestContext.Current.CancellationToken);
            var waiting = _repositories.AskAsync(AnotherLayer, () => Task.FromResult<OriginResponse?>(Answer(HttpStatusCode.Unauthorized, isChallenge: true)), TestContext.Current.CancellationToken);
            Assert.False(waiting.IsCompleted);

            if (isChallenged)
            {
                first.SetResult(Answer(HttpStatusCode.Unauthorized, isChallenge: true));
                Assert.NotNull((await asking)!.Challenge);
            }
            else
            {
                first.SetCanceled(TestContext.Current.CancellationToken);
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
            }

            Assert.NotNull((await waiting)!.Challenge);
        }
    }

    private static OriginReference Of(string repository, string reference) =>
        new("registry.test", repository, OriginKind.Blob, reference) { Credential = CallerCredential.None };

    private static OriginResponse Answer(HttpStatusCode status, bool isChallenge = false) => new()
    {
        Outcome = status == HttpStatusCode.OK ? OriginOutcome.Ok : OriginOutcome.Refused,
        Status = status,
        Challenge = isChallenge ? new AuthenticationHeaderValue("Bearer") : null,
    };
}
