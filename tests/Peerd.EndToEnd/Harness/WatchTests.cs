namespace Peerd.EndToEnd.Harness;

/// <summary>What watches nodes notices what it is to notice.</summary>
public sealed class WatchTests : LabTest
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public void Growth_OfWhatLeaks_IsSeenBeneathUpsAndDowns()
    {
        double[] noise = [.. Enumerable.Range(0, 60).Select(i => 100.0 + (10 * (i % 5)))];

        Assert.InRange(Growth.Of(noise), -1, 1);
        Assert.InRange(Growth.Of([.. noise.Select((value, i) => value + i)]), 15, 25);

        // What is filled once does not grow.
        Assert.InRange(Growth.Of([.. noise.Select((value, i) => value + Math.Min(i * 10, 150))]), -1, 1);

        // Garbage is tidied up late, and is left lying at the end; beneath it something is kept each time.
        double[] garbage = [.. Enumerable.Range(0, 60).Select(i => 100.0 + (3 * (i % 17)))];
        Assert.InRange(Growth.OfLowest(garbage), -1, 1);
        Assert.InRange(Growth.OfLowest([.. garbage.Select((value, i) => value + i)]), 10, 30);
    }

    [Fact]
    public async Task ProcessUse_OfAProcessWithFiles_CountsThem()
    {
        var (plain, process) = (await StartAsync("exec 7<&- 8<&- 9<&-"), await StartAsync("exec 7</dev/null 8</dev/null 9</dev/null"));

        // A program that has just begun reads some files of its own.
        await Wait.UntilAsync("it has three more", process, () => Task.FromResult(ProcessUse.Of(process.Id)!.Handles - ProcessUse.Of(plain.Id)!.Handles == 3), Patience);
        Assert.Equal(1, ProcessUse.Of(process.Id)!.Threads);
        await process.KillAsync();
        Assert.Null(ProcessUse.Of(process.Id));
    }

    [Fact]
    public async Task HandlesIn_AProcessWithFilesOfAFolder_CountsThoseOnly()
    {
        var folder = Lab.CreateFolder("handles");
        var file = Path.Combine(folder, "file");
        await File.WriteAllTextAsync(file, string.Empty);
        var process = await StartAsync($"exec 7</dev/null 8<{file} 9<{file}");

        await Wait.UntilAsync("it has two", process, () => Task.FromResult(ProcessUse.HandlesIn(process.Id, folder) == 2), Patience);
        Assert.Equal(0, ProcessUse.HandlesIn(process.Id, folder[..^1]));
        await process.KillAsync();
        Assert.Equal(0, ProcessUse.HandlesIn(process.Id, folder));
    }

    // The script must look for the very word that secrets of tests begin with.
    [Theory]
    [InlineData(TestOutput.SecretMarker + "Token", 1)]
    [InlineData("nothing", 0)]
    public async Task FindSecrets_InAFile_AreFound(string text, int expected)
    {
        var folder = Lab.CreateFolder("written");
        await File.WriteAllTextAsync(Path.Combine(folder, "node.log"), $"one line\nAuthorization: {text}\n");

        var search = await Lab.RunAsync("find-secrets", Path.Combine(Repository.Root, "scripts/find-secrets.sh"), [folder], Patience);

        Assert.Equal(expected, search.ExitCode);
        Assert.DoesNotContain(search.Output, line => line.Contains(TestOutput.SecretMarker + "Token", StringComparison.Ordinal));
    }

    private async Task<RunningProcess> StartAsync(string before)
    {
        var process = await Lab.StartAsync("sleep", "/bin/sh", ["-c", $"{before}\nexec sleep 60"]);
        await Wait.UntilAsync("it sleeps", process, async () => (await File.ReadAllTextAsync($"/proc/{process.Id}/comm")).Trim() == "sleep", Patience);
        return process;
    }
}
