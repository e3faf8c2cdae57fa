using System.CommandLine;

namespace Peerd.Node.Cli;

/// <summary>What <c>peerd fetch</c> was asked for.</summary>
/// <param name="Source">Reference of an image, or URL of a blob.</param>
/// <param name="Output">Where to write what was fetched; null: it is only checked.</param>
/// <param name="Facade">The facade to fetch through.</param>
/// <param name="Json">Print one object for programs.</param>
internal sealed record FetchArguments(string Source, string? Output, Uri Facade, bool Json);

/// <summary><c>peerd fetch</c>: pulls one image or blob through a node and checks its digests.</summary>
internal static class FetchCommand
{
    public static Command Create()
    {
        var source = new Argument<string>("source") { Description = "Reference of an image, or URL of a blob.", HelpName = "reference|URL" };
        var output = new Option<string?>("--output") { Description = "Where to write what was fetched; without it, it is only checked.", HelpName = "path" };
        var facade = CommonOptions.HttpAddress("--facade", "The facade to fetch through.", "http://127.0.0.1:30000");
        var json = CommonOptions.Json();

        var command = new Command("fetch", "Pull one image or blob through a node, check its digests and tell where the bytes came from.") { source, output, facade, json };
        command.SetAction((parsed, cancellationToken) => RunAsync(
            new FetchArguments(parsed.GetRequiredValue(source), parsed.GetValue(output), parsed.GetRequiredValue(facade), parsed.GetValue(json)),
            parsed.InvocationConfiguration,
            cancellationToken));
        return command;
    }

    private static Task<int> RunAsync(FetchArguments arguments, InvocationConfiguration console, CancellationToken cancellationToken) =>
        throw new NotImplementedException();
}
