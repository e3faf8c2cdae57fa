using System.Net;
using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

/// <summary>A source that tells what the test tells it.</summary>
internal sealed class TestMembership(MemberList initial) : IMembershipSource
{
    private readonly Latest<MemberList> _lists = new(initial);

    public void Tell(params string[] names) => _lists.Publish(ListOf(names));

    public IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken) => _lists.WatchAsync(cancellationToken);

    public static MemberList ListOf(params string[] names) => new(names.Select(MemberOf));

    public static Member MemberOf(string name) => new(name, new DnsEndPoint($"{name}.test", 30001), $"zone-of-{name}");
}
