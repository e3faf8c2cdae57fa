using System.IO.Hashing;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Peerd.Contracts;
using Peerd.Node.Membership;

namespace Peerd.Node.Ring;

/// <summary>
/// The consistent-hash ring over one list of members: an immutable snapshot. Thread-safe. The same list gives the
/// same ring on every machine and in every version of the program; addresses and zones do not matter to it.
/// </summary>
/// <remarks>
/// <para>
/// The circle has 2^64 positions. A member has 32 points on it (its virtual nodes), a content has 8 probes. The
/// distance of a member is the shortest way, upwards, from any probe to any of the member's points. The nearest
/// member owns the content, the next nearest is the first replica, and so on; of equally near members the one whose
/// name is smaller (ordinal) comes first. A member's distance does not depend on other members, hence a member that
/// comes or goes moves nothing between two that stay.
/// </para>
/// <para>
/// Why probes: with points alone about 500 of them are needed per member until no member of 50 has more than
/// 1.25 of the mean, which is 2.5 million points for 5,000 members. With P probes a point has at most about
/// P / (P - 1) of its share, however wide the gap before it is (Appleton, O'Reilly: Multi-Probe Consistent Hashing).
/// </para>
/// <para>
/// Positions: seed = XxHash3 (64 bit, seed 0) of the UTF-8 text of the member's name or the content's digest; the
/// i-th position, from i = 1, is mix(seed + i × 9E3779B97F4A7C15), where mix is the finalizer of SplitMix64. All are
/// numbers, so no byte order is involved.
/// </para>
/// </remarks>
internal sealed class HashRing
{
    public static readonly HashRing Empty = new(MemberList.Empty);

    private const int PointsPerMember = 32;
    private const int ProbesPerContent = 8;
    private const int LongestDigest = 160;

    private readonly Point[] _points;
    private readonly int[] _bucketStarts;
    private readonly int _bucketShift;

    public HashRing(MemberList members)
    {
        Members = members;
        Version = ComputeVersion(members);
        (_points, _bucketStarts, _bucketShift) = PlacePoints(members);
    }

    public MemberList Members { get; }

    /// <summary>How many members there are.</summary>
    public int Count => Members.Members.Count;

    /// <summary>Equal for equal lists of names; 16 hex digits.</summary>
    public string Version { get; }

    /// <summary>The member with this index; indexes follow the order of names and hold for this ring only.</summary>
    public Member this[int index] => Members.Members[index];

    /// <summary>The index of the member with this name, or -1.</summary>
    public int IndexOf(string name) => Members.IndexOf(name);

    /// <summary>
    /// Writes the members responsible for a content, the owner first, then its distinct successors, and returns how
    /// many were written: the smaller of the span's length and the number of members. Allocates nothing. Meant for a
    /// handful of members, not for a large part of the ring.
    /// </summary>
    public int FindResponsible(Digest content, Span<int> memberIndexes)
    {
        var wanted = Math.Min(memberIndexes.Length, Count);
        if (wanted == 0)
        {
            return 0;
        }

        Span<ulong> probes = stackalloc ulong[ProbesPerContent];
        Span<int> next = stackalloc int[ProbesPerContent];
        var seed = Hash(content);
        for (var i = 0; i < ProbesPerContent; i++)
        {
            probes[i] = Position(seed, i);
            next[i] = FirstPointFrom(probes[i]);
        }

        // A merge of the walks upwards from all probes. No walk comes around to its start: it would have met
        // every member before.
        var found = 0;
        while (found < wanted)
        {
            var nearest = 0;
            var nearestDistance = ulong.MaxValue;
            var nearestMember = int.MaxValue;
            for (var i = 0; i < ProbesPerContent; i++)
            {
                var point = _points[next[i]];
                var distance = unchecked(point.Position - probes[i]);
                if (distance < nearestDistance || (distance == nearestDistance && point.Member < nearestMember))
                {
                    (nearest, nearestDistance, nearestMember) = (i, distance, point.Member);
                }
            }

            if (!memberIndexes[..found].Contains(nearestMember))
            {
                memberIndexes[found++] = nearestMember;
            }

            next[nearest] = next[nearest] + 1 == _points.Length ? 0 : next[nearest] + 1;
        }

        return found;
    }

    /// <summary>True when the member is one of the first <paramref name="replicas"/> responsible for the content, the owner counted.</summary>
    public bool IsResponsible(Digest content, string name, int replicas)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(replicas);
        var index = IndexOf(name);
        Span<int> responsible = replicas <= 16 ? stackalloc int[replicas] : new int[replicas];
        return index >= 0 && responsible[..FindResponsible(content, responsible)].Contains(index);
    }

    /// <summary>
    /// True when <paramref name="name"/> comes before <paramref name="other"/> in the order of those responsible for the
    /// content, in every ring that holds both.
    /// </summary>
    public static bool IsNearer(Digest content, string name, string other)
    {
        var byDistance = Distance(content, name).CompareTo(Distance(content, other));
        return byDistance != 0 ? byDistance < 0 : string.CompareOrdinal(name, other) < 0;
    }

    private static ulong Distance(Digest content, string name)
    {
        var (from, to) = (Hash(content), Hash(name));
        var shortest = ulong.MaxValue;
        for (var probe = 0; probe < ProbesPerContent; probe++)
        {
            var start = Position(from, probe);
            for (var point = 0; point < PointsPerMember; point++)
            {
                shortest = Math.Min(shortest, unchecked(Position(to, point) - start));
            }
        }

        return shortest;
    }

    /// <summary>The index of the first point at or after a position, around the circle.</summary>
    private int FirstPointFrom(ulong position)
    {
        var index = _bucketStarts[position >> _bucketShift];
        while (index < _points.Length && _points[index].Position < position)
        {
            index++;
        }

        return index == _points.Length ? 0 : index;
    }

    /// <summary>
    /// Sorts all points by position, then member. Positions are evenly spread, so dealing them into as many buckets
    /// as there are points leaves about one in each, and the bucket starts serve the search later.
    /// </summary>
    private static (Point[] Points, int[] BucketStarts, int BucketShift) PlacePoints(MemberList members)
    {
        var count = members.Members.Count;
        if (count == 0)
        {
            return ([], [], 0);
        }

        var seeds = new ulong[count];
        for (var member = 0; member < count; member++)
        {
            seeds[member] = Hash(members.Members[member].Name);
        }

        var points = new Point[checked(count * PointsPerMember)];
        var bucketBits = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)points.Length));
        var shift = 64 - bucketBits;
        var starts = new int[1 << bucketBits];
        foreach (var seed in seeds)
        {
            for (var i = 0; i < PointsPerMember; i++)
            {
                starts[Position(seed, i) >> shift]++;
            }
        }

        var end = 0;
        for (var bucket = 0; bucket < starts.Length; bucket++)
        {
            end += starts[bucket];
            starts[bucket] = end;
        }

        // Each bucket is filled from its end, which makes its entry the start when all is placed.
        for (var member = 0; member < count; member++)
        {
            for (var i = 0; i < PointsPerMember; i++)
            {
                var position = Position(seeds[member], i);
                points[--starts[position >> shift]] = new Point(position, member);
            }
        }

        SortNearlySorted(points);
        return (points, starts, shift);
    }

    private static void SortNearlySorted(Point[] points)
    {
        for (var i = 1; i < points.Length; i++)
        {
            var point = points[i];
            var hole = i;
            for (; hole > 0 && point.IsBefore(points[hole - 1]); hole--)
            {
                points[hole] = points[hole - 1];
            }

            points[hole] = point;
        }
    }

    private static string ComputeVersion(MemberList members)
    {
        // The zero byte keeps {ab, c} apart from {a, bc}.
        var hash = new XxHash3();
        foreach (var member in members.Members)
        {
            hash.Append(Encoding.UTF8.GetBytes(member.Name));
            hash.Append([0]);
        }

        return hash.GetCurrentHashAsUInt64().ToString("x16");
    }

    private static ulong Hash(Digest content)
    {
        Span<byte> text = stackalloc byte[LongestDigest];
        return XxHash3.HashToUInt64(text[..Encoding.UTF8.GetBytes(content.ToString(), text)]);
    }

    private static ulong Hash(string name) => XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(name));

    private static ulong Position(ulong seed, int index)
    {
        unchecked
        {
            var value = seed + (((ulong)index + 1) * 0x9E3779B97F4A7C15);
            value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
            value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
            return value ^ (value >> 31);
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Point(ulong Position, int Member)
    {
        public bool IsBefore(Point other) =>
            Position < other.Position || (Position == other.Position && Member < other.Member);
    }
}
