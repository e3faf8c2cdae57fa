namespace Peerd.Node.Cli;

/// <summary>What the process tells its caller at the end.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>It was tried and failed.</summary>
    public const int Failure = 1;

    /// <summary>It was not tried: arguments or configuration are wrong.</summary>
    public const int BadArguments = 2;

    /// <summary>Stopped with Ctrl-C, as shells count it.</summary>
    public const int Stopped = 130;
}
