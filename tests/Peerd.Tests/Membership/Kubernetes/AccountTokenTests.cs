using System.Runtime.CompilerServices;
using k8s;
using k8s.Authentication;
using Peerd.Node.Membership;
using Peerd.Node.Membership.Kubernetes;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>The kubelet replaces the token of a pod's account while the pod runs.</summary>
public sealed class AccountTokenTests : IAsyncLifetime
{
    /// <summary>A token is replaced when a fifth of its hour is left: by then the new one must have been read.</summary>
    private static readonly TimeSpan Overlap = TimeSpan.FromMinutes(12);

    private readonly string _file = Path.GetTempFileName();
    private FakeApiServer _server = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await FakeApiServer.StartAsync();
        _server.Set("a", "10.0.0.1");
        await ReplaceTokenAsync("S3cret-first");
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        File.Delete(_file);
    }

    [Fact]
    public async Task List_TokenIsReplaced_TheNewOneIsUsedWithoutARestart()
    {
        // What a pod is given to reach the API server has the same.
        var tokens = new TokenFileAuth(_file);
        using var api = new NodeApi(new KubernetesClientConfiguration { Host = _server.Url, TokenProvider = tokens }, new MembershipOptions(), TimeProvider.System);
        Assert.Single((await api.ListAsync(TestContext.Current.CancellationToken)).Nodes);

        await ReplaceTokenAsync("S3cret-second");
        await Assert.ThrowsAsync<HttpRequestException>(() => api.ListAsync(TestContext.Current.CancellationToken));
        Assert.InRange(EndOf(tokens), DateTime.MinValue, TimeProvider.System.GetUtcNow().UtcDateTime + Overlap);
        End(tokens, DateTime.MinValue);

        Assert.Single((await api.ListAsync(TestContext.Current.CancellationToken)).Nodes);
    }

    private Task ReplaceTokenAsync(string token)
    {
        _server.Token = token;
        return File.WriteAllTextAsync(_file, token + "\n");
    }

    // By the clock of the machine, which no test can move.
    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_TokenExpiresAt")]
    private static extern DateTime EndOf(TokenFileAuth tokens);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_TokenExpiresAt")]
    private static extern void End(TokenFileAuth tokens, DateTime end);
}
