namespace Peerd.Node.Cli.Fetch;

/// <summary>What the process answers.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;
    public const int Failed = 1;
    public const int BadArguments = 2;

    /// <summary>Stopped with Ctrl-C, as shells count it.</summary>
    public const int Stopped = 130;
}
