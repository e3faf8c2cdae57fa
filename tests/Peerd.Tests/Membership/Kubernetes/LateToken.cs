using System.Net.Http.Headers;
using k8s.Authentication;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>The token of an account that cannot be read, which is found out when nobody wants it any more.</summary>
internal sealed class LateToken : ITokenProvider
{
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when it is to be read.</summary>
    public Task Asked => _asked.Task;

    public async Task<AuthenticationHeaderValue> GetAuthenticationHeaderAsync(CancellationToken cancellationToken)
    {
        _asked.TrySetResult();
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        throw new IOException("the disk does not give it");
    }
}
