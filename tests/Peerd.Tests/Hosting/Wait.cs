namespace Peerd.Tests.Hosting;

/// <summary>Waits for what becomes true a little later on another thread.</summary>
internal static class Wait
{
    /// <summary>Far more than anything takes; only a test that fails ever waits so long.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    /// <summary>Waits until the condition holds, and fails when it never does.</summary>
    public static Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    /// <summary>Waits until the condition holds, and fails when it never does.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        using var patience = new CancellationTokenSource(Longest);
        while (!await condition())
        {
            Assert.False(patience.IsCancellationRequested, $"this never came true: {what}");
            await Task.Delay(5);
        }
    }
}
