namespace Peerd.Node.Directory;

/// <summary>Lets the directory forget what nodes that are gone had announced, once a second.</summary>
internal sealed class DirectorySweeper(HolderDirectory directory, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            directory.Sweep();
        }
    }
}
