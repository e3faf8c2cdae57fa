using System.Globalization;
using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>Seeds of the state machines: from the content, so that a run can be repeated, and apart for each node.</summary>
internal static class StableSeed
{
    public static int Of(Digest digest) => int.Parse(digest.Hex.AsSpan(0, 7), NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    public static int Of(Digest digest, string node) => Of(digest) ^ (int)System.IO.Hashing.XxHash3.HashToUInt64(System.Text.Encoding.UTF8.GetBytes(node));
}
