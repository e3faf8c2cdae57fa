using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Tests.Hosting;
using Peerd.Tests.Mesh;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

public sealed class AnnounceTargetTests
{
    private static readonly Digest Content = Digest.OfSha256([1]);

    [Fact]
    public async Task Announce_FailsByWhatNobodyForesaw_IsToldAndBegunAnew()
    {
        await using var setup = new PeersSetup("self");
        var directory = new HolderDirectory(setup.Time);
        var log = new FakeLogger<AnnounceTarget>();
        var fault = new ArgumentException("a fault of this node");
        var asked = 0;
        await using var target = new AnnounceTarget(setup.Self.Name, setup.Self, setup.Peers, directory, Held, _ => [], _ => null, _ => { }, setup.Time, log);

        target.Changed([Content]);
        await setup.Time.PassAsync(TimeSpan.FromMilliseconds(100));

        await Wait.UntilAsync(() => directory.FindComplete(Content, "self") is not null, "it is announced");
        Assert.Same(fault, Assert.Single(log.Collector.GetSnapshot(), record => record.Level == LogLevel.Warning).Exception);

        HeldContent? Held(string name, Digest content) => asked++ == 0 ? throw fault : new HeldContent(1, "type", Complete: true, new PieceSet(1));
    }
}
