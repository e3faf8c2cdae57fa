namespace Peerd.Node.Membership;

/// <summary>All members at one moment: immutable, sorted by name (ordinal), names unique.</summary>
internal sealed class MemberList
{
    /// <summary>No members.</summary>
    public static readonly MemberList Empty = new([]);

    /// <exception cref="ArgumentException">Two members have one name.</exception>
    public MemberList(IEnumerable<Member> members)
    {
        Members = [.. members.OrderBy(member => member.Name, StringComparer.Ordinal)];
        for (var i = 1; i < Members.Count; i++)
        {
            if (Members[i - 1].Name == Members[i].Name)
            {
                throw new ArgumentException($"member '{Members[i].Name}' is listed twice", nameof(members));
            }
        }
    }

    /// <summary>The members, by name.</summary>
    public IReadOnlyList<Member> Members { get; }
}
