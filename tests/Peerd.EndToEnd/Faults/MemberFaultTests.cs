using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>Members that do not answer, and nodes that do not agree on who the members are.</summary>
public sealed class MemberFaultTests : LabTest
{
    private const int Size = 1 << 20;

    /// <summary>With all nodes at once, and a member that takes connections and never says a word.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Read_MemberTakesConnectionsAndNeverAnswers_AllReadsFinish()
    {
        var mute = PeerdNode.Create(Lab, "mute");
        using var listener = new TcpListener(IPAddress.Loopback, mute.Mesh.Port);
        listener.Start();
        await using var mesh = await FaultMesh.StartAsync(Lab, 3, members: [mute]);
        PeerdNode[] members = [.. mesh.Nodes, mute];
        await mesh.RememberUseAsync();

        foreach (var owner in members)
        {
            var blob = mesh.AddBlobOwnedBy(Size, owner, members);
            var (start, before) = (Stopwatch.GetTimestamp(), mesh.Origin.Bytes);
            await mesh.ReadAsync(mesh.Nodes, blob);
            var time = Stopwatch.GetElapsedTime(start);
            FaultMesh.Print($"owned by {owner.Name}: all had it in {time.TotalSeconds:0.00} s, {(double)(mesh.Origin.Bytes - before) / Size:0.00} times from the registry");
            Assert.InRange(time, TimeSpan.Zero, AnswerLimit);
        }

        // What sits there from now on is a real node.
        listener.Dispose();
        await mute.StartAsync(members, mesh.Origin.Upstream);
        FaultMesh.Print($"recovery: the mesh is whole {(await mesh.UntilWholeAsync(RecoveryLimit)).TotalSeconds:0.00} s after the member is well");
        await mesh.DemandNothingLeftAsync();
    }

    // Neither broken nor busy: the connection is there, and half of a message, or of an encrypted record, has come.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Read_HolderFallsSilentInTheMiddleOfAMessage_AllReadsFinish(bool isEncrypted)
    {
        using var authority = new MeshAuthority();
        var certificates = Lab.CreateFolder("certificates");
        var holder = PeerdNode.Create(Lab, "holder");
        await using var link = new StallingLink(holder.Mesh);
        var reached = PeerdNode.Create(Lab, "holder", link.Endpoint);
        await using var mesh = await FaultMesh.StartAsync(Lab, 2, Encrypt, members: [reached]);
        PeerdNode[] members = [.. mesh.Nodes, reached];
        var configuration = holder.Configure(members, mesh.Origin.Upstream);
        Encrypt(holder, configuration["Peerd"]!.AsObject());
        await holder.StartAsync(configuration);
        using var client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
        var reader = new BlobReader(client, holder.Facade);
        await mesh.UntilWholeAsync(RecoveryLimit);
        await mesh.RememberUseAsync();

        // What it has may not be known yet when the others ask.
        for (var attempt = 0; !link.IsSilent; attempt++)
        {
            Assert.InRange(attempt, 0, 4);
            var blob = mesh.AddBlobOwnedBy(8 * Size, mesh.Nodes[0], members);
            using var deadline = new CancellationTokenSource(PullTimeout);
            Assert.Null(await reader.TryReadAsync(blob, mesh.Origin.PathOf(blob), deadline.Token));
            link.FallSilentAfter(Size + 12_345);
            var (start, before) = (Stopwatch.GetTimestamp(), mesh.Origin.Bytes);
            await mesh.ReadAsync(mesh.Nodes, blob);
            var time = Stopwatch.GetElapsedTime(start);
            FaultMesh.Print($"silent: {link.IsSilent}; all had it in {time.TotalSeconds:0.00} s, {(double)(mesh.Origin.Bytes - before) / blob.Size:0.00} times from the registry");
            Assert.InRange(time, TimeSpan.Zero, RecoveryLimit);
        }

        await link.HealAsync();
        FaultMesh.Print($"recovery: the mesh is whole {(await mesh.UntilWholeAsync(RecoveryLimit)).TotalSeconds:0.00} s after the holder speaks again");
        await mesh.DemandNothingLeftAsync();

        void Encrypt(PeerdNode node, JsonObject settings)
        {
            if (isEncrypted)
            {
                Certificates.Give(node, settings, authority, certificates);
            }
        }
    }

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public async Task Read_NodesHaveDifferentLists_AllReadsFinishAndTheMeshIsWholeWhenTheListsAre()
    {
        var ghost = PeerdNode.Create(Lab, "ghost");
        await using var mesh = await FaultMesh.StartAsync(Lab, 4, (node, settings) => GiveList(settings, node.Name switch
        {
            "n1" => ["n1", "n2", "ghost"],
            "n2" => ["n2", "n3", "n4"],
            "n3" => ["n3"],
            _ => ["n1", "n2", "n3", "n4", "ghost"],
        }), members: [ghost]);
        await mesh.RememberUseAsync();
        var blobs = Enumerable.Range(0, 8).Select(_ => mesh.AddBlob(Size)).ToArray();

        var (start, before) = (Stopwatch.GetTimestamp(), mesh.Origin.Bytes);
        await mesh.ReadAsync(mesh.Nodes, blobs);
        FaultMesh.Print($"with four different lists all had {blobs.Length} blobs in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s, {(double)(mesh.Origin.Bytes - before) / Size / blobs.Length:0.00} times from the registry");

        foreach (var node in mesh.Nodes)
        {
            node.WriteConfiguration(node.Configure(mesh.Nodes, mesh.Origin.Upstream));
        }

        FaultMesh.Print($"recovery: the mesh is whole {(await mesh.UntilWholeAsync(RecoveryLimit)).TotalSeconds:0.00} s after the lists are the same");
        await mesh.DemandNothingLeftAsync(newMembers: 3);
    }

    private static void GiveList(JsonObject settings, string[] names)
    {
        var members = settings["Membership"]!["Members"]!.AsArray();
        foreach (var member in members.Where(member => !names.Contains(member!["Name"]!.GetValue<string>())).ToArray())
        {
            members.Remove(member);
        }
    }
}
