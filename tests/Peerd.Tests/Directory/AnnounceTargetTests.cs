using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Membership;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;
using Peerd.Tests.Mesh;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

public sealed class AnnounceTargetTests
{
    private static readonly Digest Content = Digest.OfSha256([1]);

    [Theory]
    [InlineData("self")]
    [InlineData("other")]
    public async Task Announce_FailsByWhatNobodyForesaw_IsToldAndBegunAnew(string member)
    {
        await using var other = await FakePeer.StartAsync("other");
        await using var setup = new PeersSetup(TestMembership.MemberOf("self"), new Member("other", new DnsEndPoint(other.EndPoint.Address.ToString(), other.EndPoint.Port), string.Empty));
        await setup.StartAsync();
        var directory = new HolderDirectory(setup.Time);
        var log = new FakeLogger<AnnounceTarget>();
        var fault = new ArgumentException("a fault of this node");
        var asked = 0;
        await using var target = new AnnounceTarget(member, setup.Self, setup.Peers, directory, Held, _ => [], _ => null, _ => { }, setup.Time, log);

        target.Changed([Content]);
        await setup.Time.PassAsync(TimeSpan.FromMilliseconds(100));

        await Wait.UntilAsync(() => directory.FindComplete(Content, "self") is not null || other.Announced.Any(said => said.Contents.Count == 1), "it is announced");
        Assert.Same(fault, Assert.Single(log.Collector.GetSnapshot(), record => record.Level == LogLevel.Warning).Exception);

        HeldContent? Held(string name, Digest content) => asked++ == 0 ? throw fault : new HeldContent(1, "type", Complete: true, new PieceSet(1));
    }
}
