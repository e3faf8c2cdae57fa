using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Cli.Containerd;

/// <summary>What <c>peerd configure containerd --json</c> prints.</summary>
/// <param name="Changes">What was done, registry by registry.</param>
internal sealed record HostsReport(IReadOnlyList<HostsChange> Changes)
{
    /// <summary>The same for people.</summary>
    public void Show(Report report)
    {
        foreach (var change in Changes)
        {
            report.Line($"{change.Result,-9}  {change.File}{(change.Reason is null ? string.Empty : $": {change.Reason}")}");
        }

        if (Changes.Count == 0)
        {
            report.Line("nothing to do");
        }
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(HostsReport))]
internal sealed partial class HostsReportJson : JsonSerializerContext
{
    /// <summary>For terminals and files, where no character needs to be hidden from HTML.</summary>
    public static HostsReportJson Plain { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    });
}
