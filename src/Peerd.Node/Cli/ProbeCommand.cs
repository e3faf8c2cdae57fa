using System.CommandLine;
using Peerd.Node.Hosting;

namespace Peerd.Node.Cli;

/// <summary>
/// <c>peerd probe</c>: whether the process with this socket answers, or is ready; for probes that another process of the node could answer
/// at the ports, and in an image that has no other program.
/// </summary>
internal static class ProbeCommand
{
    /// <summary>A process that needs longer hangs: longer than <see cref="OwnListeners.AnswerTime"/>, for which one that is not ready may need.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    public static Command Create()
    {
        var socket = new Argument<string>("socket") { Description = "Handover:ProbeSocket of the process." };
        var ready = new Option<bool>("--ready") { Description = "Ask whether it is ready, as /readyz does." };
        var command = new Command("probe", "Ask whether a process answers, by the socket that it makes when it listens.") { socket, ready };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var deadline = new CancellationTokenSource(Patience, TimeProvider.System);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
            string? fault;
            try
            {
                fault = await ProbeSocket.AskAsync(parsed.GetRequiredValue(socket), parsed.GetValue(ready), either.Token);
            }
            catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                fault = $"it has not answered within {Patience.TotalSeconds:0} s";
            }

            if (fault is null)
            {
                return ExitCode.Success;
            }

            await parsed.InvocationConfiguration.Error.WriteLineAsync($"peerd: {fault}");
            return ExitCode.Failure;
        });
        return command;
    }
}
