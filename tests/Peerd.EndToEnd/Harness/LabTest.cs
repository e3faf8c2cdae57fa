namespace Peerd.EndToEnd.Harness;

/// <summary>A test with a lab of its own. What the processes wrote goes to the output of a failed test.</summary>
public abstract class LabTest : IAsyncLifetime
{
    /// <summary>Generous: the machine may be busy with other work.</summary>
    internal static readonly TimeSpan PullTimeout = TimeSpan.FromMinutes(2);

    /// <summary>What the test may start things in.</summary>
    internal Lab Lab { get; } = new();

    /// <inheritdoc />
    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <summary>What helps to understand a failure.</summary>
    internal virtual string Tail() => Lab.Tail();

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result == TestResult.Failed)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(Tail());
        }

        await Lab.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}
