namespace Peerd.Node.Cli.Containerd;

/// <summary>Why a <c>hosts.toml</c> cannot be read or written; the message is one line for people.</summary>
internal sealed class HostsException(string message, Exception? inner = null) : Exception(message, inner);
