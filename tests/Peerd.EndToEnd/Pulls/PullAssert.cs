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
}
