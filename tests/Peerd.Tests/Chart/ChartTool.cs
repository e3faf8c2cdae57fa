using System.ComponentModel;
using System.Diagnostics;

namespace Peerd.Tests.Chart;

/// <summary>How a run of helm, kubectl or another program ended, and what it printed.</summary>
internal sealed record ChartTool(int ExitCode, string Output, string Error)
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(1);

    /// <summary>Where the chart is.</summary>
    public static string Chart { get; } = Path.Combine(LayoutTests.RepositoryRoot(), "charts", "peerd");

    /// <summary>Renders the chart as release <c>peerd</c> in <c>peerd-ns</c>.</summary>
    /// <param name="options">Further options, such as <c>--set</c>.</param>
    public static Task<string> TemplateAsync(params string[] options) => TemplateAsync("peerd", "peerd-ns", Chart, options);

    /// <summary>Renders a chart.</summary>
    /// <param name="release">Name of the release.</param>
    /// <param name="ns">Its namespace.</param>
    /// <param name="chart">A folder, or a package.</param>
    /// <param name="options">Further options, such as <c>--set</c>.</param>
    public static async Task<string> TemplateAsync(string release, string ns, string chart, string[] options)
    {
        var run = await HelmAsync(["template", release, chart, "--namespace", ns, .. options]);
        return run.ExitCode == 0 ? run.Output : throw new InvalidOperationException($"helm template {string.Join(' ', options)} failed: {run.Error}");
    }

    public static Task<ChartTool> HelmAsync(params string[] arguments) => RunAsync(Installed("helm"), arguments, input: string.Empty);

    /// <param name="input">What it reads as <c>-f -</c>.</param>
    /// <param name="arguments">Arguments that need no API server.</param>
    public static Task<ChartTool> KubectlAsync(string input, params string[] arguments) => RunAsync(Installed("kubectl"), arguments, input);

    /// <summary>Runs a program of this machine.</summary>
    public static Task<ChartTool> SystemAsync(string program, params string[] arguments) => RunAsync(program, arguments, input: string.Empty);

    private static string Installed(string program) => Path.Combine(LayoutTests.RepositoryRoot(), ".tools", "bin", program);

    private static async Task<ChartTool> RunAsync(string program, string[] arguments, string input)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };

        // No cluster of the machine's user.
        start.Environment["KUBECONFIG"] = "/dev/null";
        using var process = Start(start);
        using var timeout = new CancellationTokenSource(Timeout);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(timeout.Token);
            var error = process.StandardError.ReadToEndAsync(timeout.Token);
            await process.StandardInput.WriteAsync(input.AsMemory(), timeout.Token);
            process.StandardInput.Close();
            await process.WaitForExitAsync(timeout.Token);
            return new ChartTool(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException e)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} did not end within {Timeout}", e);
        }
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new InvalidOperationException($"{start.FileName} does not start; run scripts/install-test-tools.sh test", e);
        }
    }
}
