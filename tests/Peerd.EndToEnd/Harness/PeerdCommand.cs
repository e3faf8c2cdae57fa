using System.Text.Json;
using System.Text.Json.Nodes;

namespace Peerd.EndToEnd.Harness;

/// <summary>Runs <c>peerd</c> commands that end by themselves.</summary>
internal static class PeerdCommand
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(2);

    /// <summary>Runs a command to its end.</summary>
    public static Task<RunningProcess> RunAsync(Lab lab, params string[] arguments) => RunAsync(lab, environment: null, arguments);

    /// <summary>Runs a command to its end, with these variables besides those of the test.</summary>
    public static Task<RunningProcess> RunAsync(Lab lab, IReadOnlyDictionary<string, string>? environment, params string[] arguments) =>
        lab.RunAsync($"peerd {arguments[0]}", Repository.Peerd[0], [.. Repository.Peerd[1..], .. arguments], Timeout, environment);

    /// <summary>Runs a command that must succeed and print one JSON object as its last line.</summary>
    public static async Task<JsonObject> RunJsonAsync(Lab lab, params string[] arguments)
    {
        var process = await RunAsync(lab, arguments);
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{process.Name} failed.\n{process.Tail()}");
        }

        try
        {
            return JsonNode.Parse(process.Output.LastOrDefault(line => line.Length > 0) ?? string.Empty)!.AsObject();
        }
        catch (JsonException e)
        {
            throw new InvalidOperationException($"{process.Name} printed no JSON object.\n{process.Tail()}", e);
        }
    }
}
