using System.CommandLine;

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
            RunAsync(parsed.GetValue(config), parsed.GetValue(settings) ?? [], cancellationToken));
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

    private static Task<int> RunAsync(FileInfo? config, string[] settings, CancellationToken cancellationToken) =>
        throw new NotImplementedException();
}
