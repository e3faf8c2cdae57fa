using Peerd.Tests.Membership.Kubernetes;

namespace Peerd.EndToEnd.Harness;

/// <summary>The API server of a cluster that is nothing else, over TLS, and the account with which its pods ask it.</summary>
internal sealed class ClusterApi : IAsyncDisposable
{
    private readonly MeshAuthority _authority;

    private ClusterApi(MeshAuthority authority, FakeApiServer server, ServiceAccount account)
    {
        _authority = authority;
        Server = server;
        Account = account;
    }

    /// <summary>What it tells, and what it was told.</summary>
    public FakeApiServer Server { get; }

    /// <summary>Of all pods.</summary>
    public ServiceAccount Account { get; }

    /// <summary>Starts a server without nodes.</summary>
    /// <param name="lab">Has the files of the account.</param>
    /// <param name="name">Tells it from others of the lab.</param>
    public static async Task<ClusterApi> StartAsync(Lab lab, string name)
    {
        var authority = new MeshAuthority();
        var server = await FakeApiServer.StartAsync(authority.Issue("localhost"));
        server.Token = $"{TestOutput.SecretMarker}-token-of-{name}";
        return new ClusterApi(authority, server, ServiceAccount.Write(lab.CreateFolder($"account-{name}"), new Uri(server.Url).Port, server.Token, authority.Pem));
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _authority.Dispose();
    }
}
