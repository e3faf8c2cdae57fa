using Peerd.Node.Cli.Fetch;
using Spectre.Console;

namespace Peerd.Tests.Cli.Fetch;

public sealed class ProgressViewTests : IDisposable
{
    private readonly StringWriter _output = new();

    public void Dispose() => _output.Dispose();

    [Fact]
    public async Task Watch_Lines_TellsStartAndEndOnce()
    {
        await new LinesView(_output, TimeProvider.System).WatchAsync(
            () => [new("a", 2048, 2048, ProgressState.Done), new("b", 5, 10, ProgressState.Failed), new("c", 0, 10, ProgressState.Running)],
            Task.CompletedTask);

        Assert.Equal(
            """
            a: started, 2 KiB
            a: done, 2 KiB
            b: started, 10 B
            b: failed after 5 B
            c: started, 10 B

            """,
            _output.ToString());
    }

    [Fact]
    public async Task Watch_LinesThatComeLater_AreShownWhenTheWorkHasEnded()
    {
        var work = new TaskCompletionSource();
        var polls = 0;
        await new LinesView(_output, TimeProvider.System).WatchAsync(
            () =>
            {
                if (++polls == 2)
                {
                    work.SetResult();
                }

                return polls < 3 ? [] : [new("late", 1, 1, ProgressState.Done)];
            },
            work.Task);

        Assert.Equal("late: started, 1 B\nlate: done, 1 B\n", _output.ToString());
    }

    [Fact]
    public async Task Watch_Bars_ShowsNamesWithBracketsAndFailures()
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.Yes, Interactive = InteractionSupport.Yes, ColorSystem = ColorSystemSupport.NoColors, Out = new AnsiConsoleOutput(_output) });
        console.Profile.Width = 120;

        await new BarsView(console, TimeProvider.System).WatchAsync(
            () => [new("[one]", 2048, 2048, ProgressState.Done), new("two", 5, 10, ProgressState.Failed), new("none", 0, 0, ProgressState.Done)],
            Task.CompletedTask);

        Assert.Contains("[one]", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("two failed", _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Watch_WorkThatFails_IsNotThrownHere()
    {
        foreach (var view in new ProgressView[] { new SilentView(TimeProvider.System), new LinesView(_output, TimeProvider.System) })
        {
            await view.WatchAsync(() => [], Task.FromException(new InvalidOperationException()));
        }
    }

    [Fact]
    public void For_OutputThatIsNoTerminal_IsLines()
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(_output) });
        Assert.IsType<LinesView>(ProgressView.For(console, TimeProvider.System));
    }
}
