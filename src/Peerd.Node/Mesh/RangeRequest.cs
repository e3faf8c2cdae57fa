using Peerd.Contracts;

namespace Peerd.Node.Mesh;

/// <summary>What to read from a peer.</summary>
/// <param name="Digest">The content.</param>
/// <param name="Layout">Its layout, known before.</param>
/// <param name="Range">Begins and ends with a frame, or ends with the content.</param>
/// <param name="Wait">The peer is about to receive the bytes: it waits for them as long as it downloads the content.</param>
/// <param name="TellPieces">The outcome shall tell which pieces the peer has.</param>
/// <param name="Urgent">A container waits for it.</param>
/// <param name="Ahead">Nobody needs it yet.</param>
internal readonly record struct RangeRequest(Digest Digest, ContentLayout Layout, ByteRange Range, bool Wait = false, bool TellPieces = false, bool Urgent = false, bool Ahead = false);
