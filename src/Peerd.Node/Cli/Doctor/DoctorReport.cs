using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Cli.Doctor;

/// <summary>What <c>peerd doctor --json</c> prints.</summary>
/// <param name="Errors">How many findings are errors.</param>
/// <param name="Warnings">How many are warnings.</param>
/// <param name="Findings">All findings, in the order of the checks.</param>
internal sealed record DoctorReport(int Errors, int Warnings, IReadOnlyList<DoctorReport.Line> Findings)
{
    public static DoctorReport Of(IReadOnlyList<Finding> findings) => new(
        findings.Count(finding => finding.Severity == Severity.Error),
        findings.Count(finding => finding.Severity == Severity.Warning),
        [.. findings.Select(finding => new Line(finding.Check, Word(finding.Severity), finding.Seen, finding.Advice))]);

    /// <summary>The same for people.</summary>
    public void Show(Report screen)
    {
        foreach (var (check, severity, seen, advice) in Findings)
        {
            screen.Line($"{severity,-7}  {check}: {seen}");
            if (advice is not null)
            {
                screen.Line($"         to do: {advice}");
            }
        }

        screen.Line($"{Errors} {(Errors == 1 ? "error" : "errors")}, {Warnings} {(Warnings == 1 ? "warning" : "warnings")}");
    }

    private static string Word(Severity severity) => severity switch
    {
        Severity.Ok => "ok",
        Severity.Warning => "warning",
        _ => "error",
    };

    /// <summary>One finding.</summary>
    internal sealed record Line(string Check, string Severity, string Seen, string? Advice);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(DoctorReport))]
internal sealed partial class DoctorReportJson : JsonSerializerContext
{
    /// <summary>For terminals and files, where no character needs to be hidden from HTML.</summary>
    public static DoctorReportJson Plain { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
