using System.CommandLine;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;
using Peerd.Node.Storage;

namespace Peerd.Node.Cli;

/// <summary><c>peerd serve</c>: runs a node.</summary>
internal static class ServeCommand
{
    /// <summary>The verb, which is the default one.</summary>
    public const string Name = "serve";

    private const string ConfigOption = "--config";
    private const string SettingPrefix = "--Peerd:";

    public static Command Create()
    {
        var config = new Option<FileInfo>(ConfigOption)
        {
            Description = "JSON file with settings, read after appsettings.json and again when it changes.",
            HelpName = "file",
        };
        config.AcceptExistingOnly();
        var settings = new Argument<string[]>("settings")
        {
            Description = $"Settings that override those of files and environment: {SettingPrefix}Section:Key=value",
            Arity = ArgumentArity.ZeroOrMore,
            HelpName = $"{SettingPrefix}Section:Key=value",
        };
        settings.Validators.Add(result =>
        {
            foreach (var token in result.Tokens.Where(token => !IsSetting(token.Value)))
            {
                result.AddError($"'{token.Value}' is not understood; allowed: a verb, or settings as {SettingPrefix}Section:Key=value");
            }
        });

        var command = new Command(Name, "Run a node (the default verb).") { config, settings };
        command.SetAction((parsed, cancellationToken) =>
            RunAsync(parsed.GetValue(config), parsed.GetValue(settings) ?? [], parsed.InvocationConfiguration.Error, cancellationToken));
        return command;
    }

    /// <summary>True for what can only be an argument of serve, so that the verb may be left out before it.</summary>
    public static bool IsArgument(string argument) =>
        argument.StartsWith(SettingPrefix, StringComparison.OrdinalIgnoreCase)
        || argument == ConfigOption
        || argument.StartsWith(ConfigOption + "=", StringComparison.Ordinal);

    private static bool IsSetting(string argument) =>
        argument.StartsWith(SettingPrefix, StringComparison.OrdinalIgnoreCase)
        && argument.IndexOf('=', StringComparison.Ordinal) > SettingPrefix.Length;

    // The host takes signals from its start on only, and who is the first process of a container does not get them before.
    private static async Task<bool> TryTakeOverAsync(Handover handover, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var signal = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            stop.Cancel();
        });
        try
        {
            await handover.TakeOverAsync(stop.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private static async Task<int> RunAsync(FileInfo? config, string[] settings, TextWriter error, CancellationToken cancellationToken)
    {
        try
        {
            await using var node = NodeHost.Create(settings, config);
            var handover = node.Services.GetRequiredService<Handover>();
            if (!await TryTakeOverAsync(handover, cancellationToken))
            {
                return ExitCode.Success;
            }

            node.Services.GetRequiredService<Listeners>().Check(handover.HasPredecessor);
            await node.StartAsync(cancellationToken);
            await node.WaitForShutdownAsync(cancellationToken);
            return ExitCode.Success;
        }
        catch (OptionsValidationException e)
        {
            return await FailAsync(error, string.Join("; ", e.Failures), ExitCode.BadArguments);
        }
        catch (AggregateException e) when (e.InnerExceptions.All(inner => inner is OptionsValidationException))
        {
            var failures = e.InnerExceptions.SelectMany(inner => ((OptionsValidationException)inner).Failures).Distinct(StringComparer.Ordinal);
            return await FailAsync(error, string.Join("; ", failures), ExitCode.BadArguments);
        }
        catch (Exception e) when (e is InvalidDataException or FormatException or CacheInUseException)
        {
            return await FailAsync(error, $"{e.Message} {e.InnerException?.Message}", ExitCode.BadArguments);
        }
        catch (IOException e)
        {
            // An address that cannot be listened on, most of the time.
            return await FailAsync(error, e.Message, ExitCode.Failure);
        }
    }

    private static async Task<int> FailAsync(TextWriter error, string message, int exitCode)
    {
        await error.WriteLineAsync($"peerd: {message.ReplaceLineEndings(" ").TrimEnd()}");
        return exitCode;
    }
}
