using System.CommandLine;
using Grpc.Core;
using Peerd.Contracts.V1;

namespace Peerd.Node.Cli;

/// <summary>Asks a running node one question, and says in one line why there is no answer.</summary>
internal static class NodeQuery
{
    /// <summary>How long a node may take to answer.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    /// <summary>Asks the node that the arguments name, shows the answer, and returns the exit code.</summary>
    public static async Task<int> RunAsync<T>(
        ParseResult parsed,
        NodeAccessOptions options,
        Func<NodeService.NodeServiceClient, CallOptions, AsyncUnaryCall<T>> ask,
        Action<T> show,
        CancellationToken cancellationToken) =>
        await options.ReadAsync(parsed) is { } node
            ? await RunAsync(node, Deadline, ask, show, parsed.InvocationConfiguration, cancellationToken)
            : ExitCode.BadArguments;

    /// <summary>Asks, shows the answer, and returns the exit code.</summary>
    public static async Task<int> RunAsync<T>(
        NodeAccess node,
        TimeSpan deadline,
        Func<NodeService.NodeServiceClient, CallOptions, AsyncUnaryCall<T>> ask,
        Action<T> show,
        InvocationConfiguration console,
        CancellationToken cancellationToken)
    {
        using var channel = node.Open();
        var options = new CallOptions(
            deadline: TimeProvider.System.GetUtcNow().UtcDateTime + deadline, cancellationToken: cancellationToken);
        try
        {
            using var call = ask(new NodeService.NodeServiceClient(channel), options);
            show(await call);
            return ExitCode.Success;
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException && cancellationToken.IsCancellationRequested)
        {
            await console.Error.WriteLineAsync("peerd: stopped");
            return ExitCode.Stopped;
        }
        catch (RpcException e)
        {
            await console.Error.WriteLineAsync($"peerd: {Explain(e.Status, node.Address.GetLeftPart(UriPartial.Authority), deadline)}");
            return ExitCode.Failure;
        }
    }

    private static string Explain(Status status, string address, TimeSpan deadline) => status.StatusCode switch
    {
        StatusCode.Unavailable => $"no node can be reached at {address}: is one running there? See --address ({OneLine(status.DebugException?.GetBaseException().Message ?? status.Detail)})",
        StatusCode.DeadlineExceeded => $"the node at {address} did not answer within {deadline.TotalSeconds:0.#} s",
        StatusCode.Unimplemented => $"what runs at {address} is not a peerd of this version ({OneLine(status.Detail)})",
        _ => $"the node at {address} answered {status.StatusCode}: {OneLine(status.Detail)}",
    };

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
