using Peerd.Contracts;
using Peerd.Node.Membership;

namespace Peerd.Node.Ring;

/// <summary>
/// The consistent-hash ring over one list of members: an immutable snapshot. Thread-safe. The same list gives the
/// same ring on every machine and in every version of the program.
/// </summary>
internal sealed class HashRing
{
    public static readonly HashRing Empty = new(MemberList.Empty);

    public HashRing(MemberList members) => Members = members;

    public MemberList Members { get; }

    /// <summary>Equal for equal lists of names; 16 hex digits.</summary>
    public string Version => throw new NotImplementedException();

    /// <summary>
    /// Writes the members responsible for a content, the owner first, then its distinct successors, and returns how
    /// many were written: the smaller of the span's length and the number of members. Allocates nothing.
    /// </summary>
    public int FindResponsible(Digest content, Span<int> memberIndexes) => throw new NotImplementedException();
}
