using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Demands on the outcome of pulls.</summary>
internal static class PullAssert
{
    /// <summary>All of them have succeeded.</summary>
    /// <param name="errors">What the pulls returned.</param>
    public static void Succeeded(params IEnumerable<string?> errors)
    {
        var failed = errors.Where(error => error is not null).ToArray();
        Assert.True(failed.Length == 0, string.Join('\n', failed));
    }

    /// <summary>The caches of these nodes have something, and no password and no token is in it.</summary>
    /// <param name="lab">Where the search runs.</param>
    /// <param name="nodes">Those that have pulled.</param>
    public static async Task NoSecretIsKeptAsync(Lab lab, params IEnumerable<PeerdNode> nodes)
    {
        foreach (var node in nodes)
        {
            var search = await lab.RunAsync("find-secrets", "/bin/bash", [Path.Combine(Repository.Root, "scripts/find-secrets.sh"), node.CacheFolder], LabTest.PullTimeout);
            Assert.True(search.ExitCode == 0, search.Tail());
        }
    }
}
