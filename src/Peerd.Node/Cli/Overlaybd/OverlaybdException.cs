namespace Peerd.Node.Cli.Overlaybd;

/// <summary>Why a settings file cannot be read or written; the message is one line for people.</summary>
internal sealed class OverlaybdException(string message, Exception? inner = null) : Exception(message, inner);
