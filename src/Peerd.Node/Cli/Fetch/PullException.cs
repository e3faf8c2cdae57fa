namespace Peerd.Node.Cli.Fetch;

/// <summary>Why a pull cannot go on; the message is one line for people. <see cref="ImagePull"/> turns it into a value.</summary>
internal sealed class PullException(string message, Exception? inner = null) : Exception(message, inner);
