using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What must be true of a coordinator's assignments and grants at every moment.</summary>
internal static class FetchRules
{
    public static void Check(Coordinator coordinator, CoordinatorPolicy policy, ContentLayout layout)
    {
        var credits = layout.SegmentSize <= policy.ShortSegment ? policy.CreditsOfShortSegments : policy.Credits;
        var children = layout.SegmentCount == 1 ? policy.ChildrenOfOnlySegment : policy.Children;
        var fetches = coordinator.Fetches.ToList();
        var parents = fetches.ToDictionary(fetch => (fetch.To, fetch.Segment), fetch => fetch.From);

        // One number for both: more uploads than downloads let everybody crowd those who have fresh segments.
        AssertAtMost(credits, fetches.GroupBy(fetch => fetch.To), "fetches of one asker");
        AssertAtMost(credits, fetches.GroupBy(fetch => fetch.From), "uploads of one holder");
        AssertAtMost(children, fetches.GroupBy(fetch => (fetch.From, fetch.Segment)), "nodes that fetch one segment from one holder");
        foreach (var (to, _, segment) in fetches)
        {
            var node = to;
            for (var steps = 0; parents.TryGetValue((node, segment), out var parent); steps++)
            {
                Assert.True(parent != to && steps <= fetches.Count, $"{to} waits for itself, for segment {segment}");
                node = parent;
            }
        }

        var readers = coordinator.Grants.ToList();
        Assert.InRange(readers.Select(grant => grant.Value).Distinct(StringComparer.Ordinal).Count(), 0, policy.Readers);
        Assert.DoesNotContain(readers, grant => parents.ContainsKey((grant.Value, grant.Key)));
    }

    private static void AssertAtMost<TKey>(int most, IEnumerable<IGrouping<TKey, (string To, string From, int Segment)>> groups, string what)
    {
        foreach (var group in groups)
        {
            Assert.True(group.Count() <= most, $"{group.Count()} {what} ({group.Key}), {most} are allowed");
        }
    }
}
