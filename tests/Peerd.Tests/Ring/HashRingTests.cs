using System.Globalization;
using System.IO.Hashing;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using CsCheck;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Tests.Ring;

public sealed class HashRingTests
{
    private static readonly string[] GoldenNames =
    [
        "aks-nodepool1-12345-vmss000000", "aks-nodepool1-12345-vmss000001", "aks-nodepool1-12345-vmss000002",
        "node-1", "node-2", "Zürich",
    ];

    private static readonly Lazy<Digest[]> ManyContents = new(() =>
        [.. Enumerable.Range(0, 200_000).Select(i => Digest.OfSha256(BitConverter.GetBytes(i)))]);

    private static readonly Gen<string[]> GenNames =
        Gen.String[Gen.Char["ab-1é"], 1, 6].Array[0, 24].Select(names => names.Distinct().ToArray());

    // Computed with the C library xxhash 0.8.1 and a script that tries every pair of probe and point. What changes
    // them moves every content in a mesh of mixed versions.
    [Theory]
    [InlineData("", "aks-nodepool1-12345-vmss000002, node-2, aks-nodepool1-12345-vmss000001")]
    [InlineData("a", "node-2, aks-nodepool1-12345-vmss000000, aks-nodepool1-12345-vmss000001")]
    [InlineData("b", "aks-nodepool1-12345-vmss000002, aks-nodepool1-12345-vmss000001, aks-nodepool1-12345-vmss000000")]
    [InlineData("c", "aks-nodepool1-12345-vmss000002, aks-nodepool1-12345-vmss000001, aks-nodepool1-12345-vmss000000")]
    [InlineData("hello", "node-1, Zürich, aks-nodepool1-12345-vmss000000")]
    [InlineData("peerd", "aks-nodepool1-12345-vmss000001, node-2, aks-nodepool1-12345-vmss000000")]
    public void FindResponsible_GoldenMembers_AreAsEver(string content, string expected)
    {
        Assert.Equal(expected, string.Join(", ", Responsible(RingOf(GoldenNames), Sha256(content), 3)));
    }

    [Fact]
    public void FindResponsible_GoldenMembersAndSha512_AreAsEver()
    {
        var digest = Digest.FromHash(HashAlgorithmName.SHA512, SHA512.HashData("a"u8));

        Assert.Equal(
            ["aks-nodepool1-12345-vmss000000", "aks-nodepool1-12345-vmss000002", "aks-nodepool1-12345-vmss000001"],
            Responsible(RingOf(GoldenNames), digest, 3));
    }

    [Fact]
    public void Version_GoldenMembers_IsAsEver() => Assert.Equal("71f02e4ed006c126", RingOf(GoldenNames).Version);

    [Fact]
    public void FindResponsible_AnyMembers_AgreesWithTheDefinition() =>
        Gen.Select(GenNames, Gen.Int).Sample((names, content) =>
        {
            var digest = Digest.OfSha256(BitConverter.GetBytes(content));
            return Responsible(RingOf(names), digest, names.Length).SequenceEqual(ResponsibleByDefinition(names, digest));
        });

    [Fact]
    public void IsNearer_AnyTwoMembers_AgreesWithTheRing() =>
        Gen.Select(GenNames, Gen.Int).Sample((names, content) =>
        {
            var digest = Digest.OfSha256(BitConverter.GetBytes(content));
            string[] inOrder = [.. Responsible(RingOf(names), digest, names.Length)];
            return inOrder.Index().All(a => inOrder.Index().All(b => HashRing.IsNearer(digest, a.Item, b.Item) == a.Index < b.Index));
        });

    [Fact]
    public void FindResponsible_MemberComesOrGoes_MovesNothingBetweenThoseThatStay() =>
        Gen.Select(GenNames, Gen.Int, Gen.String[Gen.Char["cd"], 1, 4]).Sample((names, content, other) =>
        {
            var digest = Digest.OfSha256(BitConverter.GetBytes(content));
            var without = Responsible(RingOf(names), digest, names.Length);
            var with = Responsible(RingOf([.. names, other]), digest, names.Length + 1);

            // Not only the owner: the whole order of those that stay is kept.
            return with.Length == names.Length + 1 && with.Where(name => name != other).SequenceEqual(without);
        });

    [Fact]
    public void FindResponsible_MemberComes_ItTakesItsShare()
    {
        var names = Names("node-{0}", 50);
        var (before, after) = (RingOf(names), RingOf([.. names, "node-new"]));
        var moved = 0;
        Span<int> owner = stackalloc int[1];
        foreach (var digest in ManyContents.Value)
        {
            before.FindResponsible(digest, owner);
            var former = before[owner[0]].Name;
            after.FindResponsible(digest, owner);
            if (after[owner[0]].Name != former)
            {
                Assert.Equal("node-new", after[owner[0]].Name);
                moved++;
            }
        }

        Assert.InRange(moved * 51.0 / ManyContents.Value.Length, 0.7, 1.25);
    }

    [Theory]
    [InlineData("aks-nodepool1-12345-vmss{0:d6}", 50)]
    [InlineData("node-{0}", 50)]
    [InlineData("ip-10-0-0-{0}.eu-central-1.compute.internal", 50)]
    [InlineData("gke-cluster-1-default-pool-{1:x8}-{2:x4}", 50)]
    [InlineData("{0}", 50)]
    [InlineData("node-{0}", 2)]
    [InlineData("node-{0}", 5)]
    [InlineData("aks-nodepool1-12345-vmss{0:d6}", 200)]
    public void FindResponsible_ManyContents_NobodyHasMuchMoreThanTheMean(string pattern, int count)
    {
        var ring = RingOf(Names(pattern, count));
        var load = new int[2, count];
        Span<int> responsible = stackalloc int[2];
        foreach (var digest in ManyContents.Value)
        {
            ring.FindResponsible(digest, responsible);
            load[0, responsible[0]]++;
            load[1, responsible[1]]++;
        }

        var mean = (double)ManyContents.Value.Length / count;
        for (var member = 0; member < count; member++)
        {
            Assert.InRange(load[0, member] / mean, 0.6, 1.25);
            Assert.InRange(load[1, member] / mean, 0.6, 1.25);
        }
    }

    [Fact]
    public void FindResponsible_AfterTheFirstCall_AllocatesNothing()
    {
        var ring = RingOf(Names("node-{0}", 50));
        var digest = Sha256("content");
        Span<int> responsible = stackalloc int[3];
        var found = ring.FindResponsible(digest, responsible);
        _ = ring.IsResponsible(digest, "node-7", 2);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            found += ring.FindResponsible(digest, responsible);
            _ = ring.IsResponsible(digest, "node-7", 2);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(3003, found);
    }

    [Fact]
    public void FindResponsible_MoreAskedThanThereAre_TellsEachOnce()
    {
        var ring = RingOf("a", "b", "c");
        var responsible = new int[5];

        var found = ring.FindResponsible(Sha256("content"), responsible);

        Assert.Equal(3, found);
        Assert.Equal([0, 1, 2], responsible[..3].Order());
    }

    [Fact]
    public void FindResponsible_OneMember_OwnsAll() =>
        Assert.All(Enumerable.Range(0, 100), i => Assert.Equal(["only"], Responsible(RingOf("only"), Sha256($"{i}"), 2)));

    [Fact]
    public void FindResponsible_EmptyRingOrEmptySpan_FindsNobody()
    {
        Assert.Equal(0, HashRing.Empty.FindResponsible(Sha256("content"), new int[2]));
        Assert.Equal(0, RingOf("a").FindResponsible(Sha256("content"), []));
        Assert.False(HashRing.Empty.IsResponsible(Sha256("content"), "a", 2));
    }

    [Fact]
    public void FindResponsible_OtherOrderAddressesAndZones_AreTheSame()
    {
        var one = RingOf(GoldenNames);
        var other = new HashRing(new MemberList(
            GoldenNames.Reverse().Select((name, i) => new Member(name, new DnsEndPoint($"10.1.1.{i}", 5), $"zone-{i}"))));

        Assert.Equal(one.Version, other.Version);
        Assert.All(Enumerable.Range(0, 100), i => Assert.Equal(Responsible(one, Sha256($"{i}"), 3), Responsible(other, Sha256($"{i}"), 3)));
    }

    [Fact]
    public void IsResponsible_AnyMember_AgreesWithFindResponsible()
    {
        var ring = RingOf(GoldenNames);

        Assert.All(Enumerable.Range(0, 50), i =>
        {
            var digest = Sha256($"{i}");
            for (var replicas = 0; replicas <= 20; replicas++)
            {
                Assert.Equal(
                    Responsible(ring, digest, replicas).Order(StringComparer.Ordinal),
                    GoldenNames.Where(name => ring.IsResponsible(digest, name, replicas)).Order(StringComparer.Ordinal));
            }

            Assert.False(ring.IsResponsible(digest, "stranger", 6));
        });
    }

    [Fact]
    public void IndexOf_AnyName_FindsWhatTheIndexerTells() =>
        GenNames.Sample(names =>
        {
            var ring = RingOf(names);
            return ring.Count == names.Length
                && names.All(name => ring[ring.IndexOf(name)].Name == name)
                && ring.IndexOf("stranger") == -1 && ring.IndexOf("") == -1;
        });

    [Fact]
    public void Version_OtherNames_IsOther()
    {
        string[] versions = [HashRing.Empty.Version, RingOf("ab", "c").Version, RingOf("a", "bc").Version, RingOf("abc").Version, RingOf("ab").Version];

        Assert.Equal(versions.Length, versions.Distinct().Count());
        Assert.All(versions, version => Assert.Matches("^[0-9a-f]{16}$", version));
    }

    // How long this takes is measured by the benchmarks.
    [Fact]
    public void HashRing_FiveThousandMembers_AgreesWithTheDefinition()
    {
        var names = Names("aks-nodepool1-12345-vmss{0:d6}", 5000);
        var ring = RingOf(names);

        Assert.All(Enumerable.Range(0, 3), i =>
            Assert.Equal(ResponsibleByDefinition(names, Sha256($"{i}")).Take(3), Responsible(ring, Sha256($"{i}"), 3)));
    }

    private static HashRing RingOf(params string[] names) =>
        new(new MemberList(names.Select((name, i) => new Member(name, new DnsEndPoint($"10.0.0.{i}", 30001), string.Empty))));

    private static string[] Names(string pattern, int count)
    {
        var random = new Random(42);
        return [.. Enumerable.Range(0, count).Select(i => string.Format(CultureInfo.InvariantCulture, pattern, i, random.Next(), random.Next(1 << 16)))];
    }

    private static Digest Sha256(string content) => Digest.OfSha256(Encoding.UTF8.GetBytes(content));

    private static string[] Responsible(HashRing ring, Digest digest, int count)
    {
        var indexes = new int[count];
        return [.. indexes[..ring.FindResponsible(digest, indexes)].Select(index => ring[index].Name)];
    }

    /// <summary>The remarks of <see cref="HashRing"/> word by word, without sorting points.</summary>
    private static IEnumerable<string> ResponsibleByDefinition(string[] names, Digest digest)
    {
        var probes = Positions(digest.ToString(), 8).ToArray();
        return names
            .Select(name => (Name: name, Distance: Positions(name, 32).Min(point => probes.Min(probe => point - probe))))
            .OrderBy(member => member.Distance)
            .ThenBy(member => member.Name, StringComparer.Ordinal)
            .Select(member => member.Name);
    }

    private static IEnumerable<ulong> Positions(string text, int count)
    {
        var seed = XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(text));
        for (var i = 1UL; i <= (ulong)count; i++)
        {
            var value = seed + (i * 0x9E3779B97F4A7C15);
            value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
            value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
            yield return value ^ (value >> 31);
        }
    }
}
