using System.Net;

namespace Peerd.Node.Mesh;

/// <summary>Who asks for ranges on a stream.</summary>
/// <param name="Node">Who he says that he is; null when he does not say.</param>
/// <param name="Address">Where he calls from, or the network, see <see cref="CallerStreams.CountedAs"/>.</param>
/// <param name="Leaving">His connection goes: what he asks for after that is asked for on another one.</param>
internal sealed record RangeCaller(string? Node, IPAddress Address, CancellationToken Leaving = default);
