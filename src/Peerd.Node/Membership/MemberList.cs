namespace Peerd.Node.Membership;

/// <summary>
/// All members at one moment: immutable, sorted by name (ordinal), names unique. Lists are equal when their members are.
/// </summary>
internal sealed class MemberList : IEquatable<MemberList>
{
    /// <summary>No members.</summary>
    public static readonly MemberList Empty = new([]);

    private readonly Member[] _members;

    /// <exception cref="ArgumentException">Two members have one name.</exception>
    public MemberList(IEnumerable<Member> members)
    {
        _members = [.. members.OrderBy(member => member.Name, StringComparer.Ordinal)];
        for (var i = 1; i < _members.Length; i++)
        {
            if (_members[i - 1].Name == _members[i].Name)
            {
                throw new ArgumentException($"member '{_members[i].Name}' is listed twice", nameof(members));
            }
        }
    }

    /// <summary>The members, by name.</summary>
    public IReadOnlyList<Member> Members => _members;

    /// <summary>The index of the member with this name, or -1.</summary>
    public int IndexOf(string name)
    {
        var (low, high) = (0, _members.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) / 2;
            var order = string.CompareOrdinal(_members[middle].Name, name);
            if (order == 0)
            {
                return middle;
            }

            (low, high) = order < 0 ? (middle + 1, high) : (low, middle - 1);
        }

        return -1;
    }

    /// <inheritdoc />
    public bool Equals(MemberList? other) => other is not null && _members.AsSpan().SequenceEqual(other._members);

    /// <inheritdoc />
    public override bool Equals(object? obj) => Equals(obj as MemberList);

    /// <inheritdoc />
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (var member in _members)
        {
            hash.Add(member);
        }

        return hash.ToHashCode();
    }
}
