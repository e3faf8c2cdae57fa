using Peerd.Contracts;
using Spectre.Console;

namespace Peerd.Node.Cli.Fetch;

/// <summary>What became of something that makes progress.</summary>
internal enum ProgressState
{
    Running,
    Done,
    Failed,
}

/// <summary>One thing that makes progress, as it is now.</summary>
internal readonly record struct ProgressLine(string Name, long Received, long Total, ProgressState State);

/// <summary>Shows progress until some work has ended, well or not. Never throws what the work throws.</summary>
internal abstract class ProgressView(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    /// <summary>Bars when the console is a terminal, else lines.</summary>
    public static ProgressView For(IAnsiConsole console, TimeProvider time) =>
        console.Profile.Out.IsTerminal && console.Profile.Capabilities.Ansi ? new BarsView(console, time) : new LinesView(console.Profile.Out.Writer, time);

    /// <param name="lines">What to show now; a line keeps its place, new ones come behind.</param>
    /// <param name="work">When this has ended all is shown once more.</param>
    public abstract Task WatchAsync(Func<IReadOnlyList<ProgressLine>> lines, Task work);

    protected async Task PollAsync(Action show, Task work)
    {
        do
        {
            show();
            await Task.WhenAny(work, Task.Delay(Interval, time, CancellationToken.None));
        }
        while (!work.IsCompleted);

        show();
    }
}

/// <summary>Shows nothing: for output that a program reads.</summary>
internal sealed class SilentView(TimeProvider time) : ProgressView(time)
{
    public override Task WatchAsync(Func<IReadOnlyList<ProgressLine>> lines, Task work) => Task.WhenAny(work);
}

/// <summary>A line when something starts and one when it ends: for logs and pipes.</summary>
internal sealed class LinesView(TextWriter output, TimeProvider time) : ProgressView(time)
{
    public override Task WatchAsync(Func<IReadOnlyList<ProgressLine>> lines, Task work)
    {
        List<ProgressState> shown = [];
        return PollAsync(
            () =>
            {
                var now = lines();
                for (var i = 0; i < now.Count; i++)
                {
                    var line = now[i];
                    if (i == shown.Count)
                    {
                        shown.Add(ProgressState.Running);
                        output.WriteLine($"{line.Name}: started, {new ByteSize(line.Total).ToRoundedText()}");
                    }

                    if (line.State != shown[i])
                    {
                        shown[i] = line.State;
                        output.WriteLine(line.State == ProgressState.Done ? $"{line.Name}: done, {new ByteSize(line.Received).ToRoundedText()}" : $"{line.Name}: failed after {new ByteSize(line.Received).ToRoundedText()}");
                    }
                }
            },
            work);
    }
}

/// <summary>A live bar for each thing: for people at a terminal.</summary>
internal sealed class BarsView(IAnsiConsole console, TimeProvider time) : ProgressView(time)
{
    public override Task WatchAsync(Func<IReadOnlyList<ProgressLine>> lines, Task work) => console.Progress()
        .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn { Base = FileSizeBase.Binary }, new TransferSpeedColumn { Base = FileSizeBase.Binary })
        .StartAsync(context =>
        {
            List<ProgressTask> tasks = [];
            return PollAsync(
                () =>
                {
                    var now = lines();
                    for (var i = 0; i < now.Count; i++)
                    {
                        var line = now[i];
                        if (i == tasks.Count)
                        {
                            tasks.Add(context.AddTask(Markup.Escape(line.Name)));
                        }

                        // A bar without a length is full at once.
                        tasks[i].MaxValue = Math.Max(1, line.Total);
                        tasks[i].Value = line.State == ProgressState.Done ? tasks[i].MaxValue : line.Received;
                        if (line.State != ProgressState.Running && !tasks[i].IsFinished)
                        {
                            tasks[i].Description = line.State == ProgressState.Failed ? $"[red]{Markup.Escape(line.Name)} failed[/]" : Markup.Escape(line.Name);
                            tasks[i].StopTask();
                        }
                    }
                },
                work);
        });
}
