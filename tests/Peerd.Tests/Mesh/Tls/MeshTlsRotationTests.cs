using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Tests.Chart;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh.Tls;

/// <summary>Files that change while nodes run.</summary>
public sealed class MeshTlsRotationTests
{
    [Fact]
    public async Task Files_ReplacedByWayOfALink_AreTakenAndStreamsGoOn()
    {
        await using var mesh = await TlsMesh.StartAsync(settings: "--Peerd:Mesh:Tls:Reload=100ms");
        var first = await ShownAsync(mesh);
        LayOutAsASecret(mesh.FolderOf("node-1"));

        // Both ends change, and twice: what is kept for the former connections goes with the second change.
        var tls = mesh.MemberTls("node-2");
        using var channel = TlsMesh.Channel(mesh.Node, tls, "node-1");
        using var call = new PeerService.PeerServiceClient(channel).Announce();
        await AnnounceAsync(call, 1);
        for (var round = 1UL; round <= 2; round++)
        {
            using var fresh = mesh.Authority.Issue($"node-1.{TlsMesh.Domain}");
            MeshAuthority.Write(Path.Combine(mesh.FolderOf("node-1"), $"{round}"), fresh, mesh.Authority.Pem);
            await LeadToAsync(mesh.FolderOf("node-1"), $"{round}");
            await Wait.UntilAsync(async () => await ShownAsync(mesh) == fresh.Thumbprint, "new connections get the new certificate");
            var former = tls.Identity;
            mesh.Authority.Write(mesh.FolderOf("node-2"), $"node-2.{TlsMesh.Domain}");
            tls.Refresh();
            Assert.NotSame(former, tls.Identity);

            // A call that makes connections anew, beside the stream.
            Assert.Equal("node-1", (await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest())).Node);
            await AnnounceAsync(call, round + 1);
        }

        Assert.NotEqual(first, await ShownAsync(mesh));
        Assert.Equal(2, mesh.Node.Logs.GetSnapshot().Count(record => record.Message.StartsWith("Connections of the mesh are made with the new certificate", StringComparison.Ordinal)));
        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Level >= LogLevel.Warning && record.Category == typeof(MeshTls).FullName);
    }

    [Fact]
    public async Task Certificate_ReplacedTwiceAndThenTheMemberIsGone_StreamOnTheFirstConnectionEnds()
    {
        await using var mesh = await TlsMesh.StartAsync();
        var tls = mesh.MemberTls("node-2");
        var links = new ConcurrentQueue<Link>();
        using var channel = MeshChannel.Open(mesh.Node.MeshEndPoint.ToString(), tls, "node-1", () => new SocketsHttpHandler
        {
            ConnectCallback = (context, cancellationToken) => ConnectAsync(context, links, cancellationToken),
            KeepAlivePingDelay = TimeSpan.FromSeconds(1),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(1),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
        });
        using var call = new PeerService.PeerServiceClient(channel).Announce();
        await AnnounceAsync(call, 1);
        for (var round = 0; round < 2; round++)
        {
            mesh.Authority.Write(mesh.FolderOf("node-2"), $"node-2.{TlsMesh.Domain}");
            tls.Refresh();
            Assert.Equal("node-1", await AskAsync(channel));
        }

        Assert.Equal(3, links.Count);
        await AnnounceAsync(call, 2);

        // As when it has lost power: nobody says that the connection is no more. Nothing but the stream keeps what notices it.
        GC.Collect();
        links.First().FallSilent();

        await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task Certificate_Replaced_TheFormerConnectionIsClosedWhenItHasNoStreams()
    {
        await using var mesh = await TlsMesh.StartAsync();
        var tls = mesh.MemberTls("node-2");
        var links = new ConcurrentQueue<Link>();
        using var channel = MeshChannel.Open(mesh.Node.MeshEndPoint.ToString(), tls, "node-1", () => new SocketsHttpHandler
        {
            ConnectCallback = (context, cancellationToken) => ConnectAsync(context, links, cancellationToken),
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(1),
        });
        Assert.Equal("node-1", await AskAsync(channel));
        mesh.Authority.Write(mesh.FolderOf("node-2"), $"node-2.{TlsMesh.Domain}");
        tls.Refresh();
        Assert.Equal("node-1", await AskAsync(channel));

        GC.Collect();
        await links.First().Closed.WaitAsync(Wait.Longest);
    }

    [Fact]
    public async Task Authority_AnotherOne_IsTakenByWayOfABundle()
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var next = new MeshAuthority();
        var node = mesh.Node.Get<MeshTls>();
        var folder = mesh.FolderOf("node-1");
        next.Write(mesh.FolderOf("node-2"), $"node-2.{TlsMesh.Domain}");
        await File.AppendAllTextAsync(Path.Combine(mesh.FolderOf("node-2"), "ca.crt"), mesh.Authority.Pem, TestContext.Current.CancellationToken);

        Assert.False(await IsAnsweredAsync());
        await File.AppendAllTextAsync(Path.Combine(folder, "ca.crt"), next.Pem, TestContext.Current.CancellationToken);
        node.Refresh();
        Assert.True(await IsAnsweredAsync());

        async Task<bool> IsAnsweredAsync()
        {
            using var channel = TlsMesh.Channel(mesh.Node, TlsMesh.Tls(mesh.FolderOf("node-2")));
            try
            {
                await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest());
                return true;
            }
            catch (RpcException)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Connection_CertificateOfTheCallerExpires_NothingNewIsBegunOnItAndItEndsALittleLater()
    {
        var time = new TimeAhead();
        await using var mesh = await TlsMesh.StartAsync(time: time, settings: "--Peerd:Mesh:Tls:Reload=100ms");
        MeshAuthority.Write(mesh.FolderOf("node-2"), mesh.Authority.Issue(TimeSpan.FromMinutes(-5), TimeSpan.FromMinutes(10), $"node-2.{TlsMesh.Domain}"), mesh.Authority.Pem);
        var connections = 0;
        using var channel = MeshChannel.Open(mesh.Node.MeshEndPoint.ToString(), TlsMesh.Tls(mesh.FolderOf("node-2")), "node-1", () => new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancellationToken) =>
            {
                Interlocked.Increment(ref connections);
                var client = new TcpClient();
                await client.ConnectAsync(context.DnsEndPoint.Host, context.DnsEndPoint.Port, cancellationToken);
                return client.GetStream();
            },
        });
        using var call = new PeerService.PeerServiceClient(channel).Announce();
        await AnnounceAsync(call, 1);
        Assert.Equal("node-1", await AskAsync(channel));
        Assert.Equal(1, connections);

        time.Ahead = TimeSpan.FromMinutes(20);
        await Wait.UntilAsync(async () => await AskAsync(channel) == "node-1" && Volatile.Read(ref connections) > 1, "another connection is made");
        await AnnounceAsync(call, 2);

        time.Ahead += CertifiedConnections.LeaveTime;
        await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task Connection_AuthorityOfTheCallerIsTakenOut_EndsALittleLater()
    {
        var time = new TimeAhead();
        await using var mesh = await TlsMesh.StartAsync(time: time, settings: "--Peerd:Mesh:Tls:Reload=100ms");
        using var next = new MeshAuthority();
        MeshAuthority.Write(mesh.FolderOf("node-1"), next.Issue($"node-1.{TlsMesh.Domain}"), next.Pem + mesh.Authority.Pem);
        mesh.Node.Get<MeshTls>().Refresh();
        MeshAuthority.Write(mesh.FolderOf("node-2"), mesh.Authority.Issue($"node-2.{TlsMesh.Domain}"), next.Pem + mesh.Authority.Pem);
        using var channel = TlsMesh.Channel(mesh.Node, TlsMesh.Tls(mesh.FolderOf("node-2")), "node-1");
        using var call = new PeerService.PeerServiceClient(channel).Announce();
        await AnnounceAsync(call, 1);

        await File.WriteAllTextAsync(Path.Combine(mesh.FolderOf("node-1"), "ca.crt"), next.Pem, TestContext.Current.CancellationToken);
        await Wait.UntilAsync(async () => await AskAsync(channel) is null, "nothing new is begun on the former connection, and no other is let in");
        await AnnounceAsync(call, 2);

        time.Ahead += CertifiedConnections.LeaveTime;
        await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest));
    }

    // Certificates of one issue expire at the same moment on all nodes, which have others by then.
    // All of 1 MiB is on its way when nothing more is begun; of more than 16 MiB, which is the most that is, something is left to be served.
    [Theory]
    [InlineData(1)]
    [InlineData(48)]
    public async Task Connection_CertificateOfTheCallerExpires_RangesAndLookupsGoOnAndNobodyIsBlamed(int mebibytes)
    {
        var size = mebibytes * 1024 * 1024;
        var time = new TimeAhead();
        await using var mesh = await TlsMesh.StartAsync(time: time, settings: "--Peerd:Mesh:Tls:Reload=100ms");
        var sample = mesh.Mesh.Blob(size);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        MeshAuthority.Write(mesh.FolderOf("node-2"), mesh.Authority.Issue(TimeSpan.FromMinutes(-5), TimeSpan.FromMinutes(10), $"node-2.{TlsMesh.Domain}"), mesh.Authority.Pem);
        var tls = TlsMesh.Tls(mesh.FolderOf("node-2"));
        var traffic = new PeerTraffic.Counters();
        using var peer = new Peerd.Node.Mesh.Peer(
            new Peerd.Node.Membership.Member("node-1", new DnsEndPoint("127.0.0.1", mesh.Node.MeshEndPoint.Port), string.Empty),
            "node-2",
            new MeshOptions { IdleTimeout = "60s" },
            traffic,
            mesh.Node.Get<MeshMetrics>(),
            tls,
            TimeProvider.System);
        using var announce = peer.Announce(CancellationToken.None);
        await AnnounceAsync(announce, 1);
        using var lookup = peer.Lookup(CancellationToken.None);
        await lookup.RequestStream.WriteAsync(new LookupRequest { Want = new Want { Member = new Member { Node = "node-2", Incarnation = 1 }, Digest = sample.Digest.ToString() } });
        Assert.True(await lookup.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest));

        using var sink = new HoldingSink();
        var first = FetchAsync(sink);
        await sink.Begun.WaitAsync(Wait.Longest);
        mesh.Authority.Write(mesh.FolderOf("node-2"), $"node-2.{TlsMesh.Domain}");
        tls.Refresh();
        time.ClockAhead = TimeSpan.FromMinutes(20);

        while (await lookup.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest))
        {
            Assert.False(lookup.ResponseStream.Current.Leaving);
        }

        sink.Release();
        Assert.Equal(RangeOutcomeKind.Complete, (await first).Kind);

        using var later = new HoldingSink();
        var second = FetchAsync(later);
        await later.Begun.WaitAsync(Wait.Longest);
        time.Ahead += CertifiedConnections.LeaveTime;
        await Assert.ThrowsAsync<RpcException>(() => announce.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest));
        later.Release();
        Assert.Equal(RangeOutcomeKind.Complete, (await second).Kind);
        Assert.Equal(0, traffic.Failures);

        // What takes the bytes holds its thread.
        async Task<RangeOutcome> FetchAsync(IRangeSink into) =>
            await Task.Run(() => peer.FetchAsync(new RangeRequest(sample.Digest, sample.Layout, ByteRange.FromBounds(0, size)), into, CancellationToken.None)).WaitAsync(Wait.Longest);
    }

    [Theory]
    [InlineData("gone", "tls.crt")]
    [InlineData("empty", "no certificate in it")]
    [InlineData("cut", "tls.crt")]
    [InlineData("chain cut", "tls.crt")]
    [InlineData("authorities cut", "ca.crt")]
    [InlineData("authorities cut early", "ca.crt")]
    [InlineData("authority spoilt", "ca.crt")]
    [InlineData("other key", "it is not the key of the certificate")]
    [InlineData("foreign", "it does not lead to the authority of the mesh")]
    [InlineData("other node", "it lacks the DNS name node-1.peerd.mesh")]
    [InlineData("expired", "it is expired, or not valid yet")]
    [InlineData("no root", "there is no root in it")]
    public async Task Files_Broken_TheFormerCertificateStaysWithOneWarning(string kind, string expected)
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var foreign = new MeshAuthority();
        var tls = mesh.Node.Get<MeshTls>();
        var (identity, first, folder) = (tls.Identity, await ShownAsync(mesh), mesh.FolderOf("node-1"));
        var certificate = Path.Combine(folder, "tls.crt");
        const string Name = $"node-1.{TlsMesh.Domain}";
        switch (kind)
        {
            case "gone":
                File.Delete(certificate);
                break;
            case "empty":
                await File.WriteAllTextAsync(certificate, string.Empty, TestContext.Current.CancellationToken);
                break;
            case "cut":
                await File.WriteAllTextAsync(certificate, (await File.ReadAllTextAsync(certificate, TestContext.Current.CancellationToken))[..200], TestContext.Current.CancellationToken);
                break;
            case "chain cut":
                await File.AppendAllTextAsync(certificate, '\n' + mesh.Authority.Pem[..300], TestContext.Current.CancellationToken);
                break;
            case "authorities cut":
                MeshAuthority.Write(folder, mesh.Authority.Issue(Name), mesh.Authority.Pem + foreign.Pem[..^10]);
                break;
            case "authorities cut early":
                MeshAuthority.Write(folder, mesh.Authority.Issue(Name), mesh.Authority.Pem + "-----BEG");
                break;
            case "authority spoilt":
                MeshAuthority.Write(folder, mesh.Authority.Issue(Name), foreign.Pem.Replace('M', '*') + mesh.Authority.Pem);
                break;
            case "other key":
                await File.WriteAllTextAsync(certificate, mesh.Authority.Issue(Name).ExportCertificatePem(), TestContext.Current.CancellationToken);
                break;
            case "foreign":
                MeshAuthority.Write(folder, foreign.Issue(Name), mesh.Authority.Pem);
                break;
            case "other node":
                MeshAuthority.Write(folder, mesh.Authority.Issue($"node-2.{TlsMesh.Domain}"), mesh.Authority.Pem);
                break;
            case "expired":
                MeshAuthority.Write(folder, mesh.Authority.Issue(TimeSpan.FromDays(-2), TimeSpan.FromDays(-1), Name), mesh.Authority.Pem);
                break;
            default:
                MeshAuthority.Write(folder, mesh.Authority.Issue(Name), mesh.Authority.Issue(Name).ExportCertificatePem());
                break;
        }

        tls.Refresh();
        tls.Refresh();

        Assert.Same(identity, tls.Identity);
        Assert.Equal(first, await ShownAsync(mesh));
        var warning = Assert.Single(mesh.Node.Logs.GetSnapshot(), record => record.Level == LogLevel.Warning && record.Message.StartsWith("The former certificate of the mesh stays in use", StringComparison.Ordinal));
        Assert.Contains(expected, warning.Message, StringComparison.Ordinal);

        using var whole = mesh.Authority.Write(folder, Name);
        tls.Refresh();
        Assert.Equal(whole.Thumbprint, await ShownAsync(mesh));
    }

    /// <summary>Thumbprint of the certificate that a new connection gets.</summary>
    private static async Task<string> ShownAsync(TlsMesh mesh)
    {
        var shown = string.Empty;
        using var certificate = mesh.Authority.Issue($"node-9.{TlsMesh.Domain}");
        using var client = TlsMesh.Stranger(certificate, seen: server => shown = server.Thumbprint);
        using var response = await client.GetAsync(new Uri($"https://{mesh.Node.MeshEndPoint}/"));
        return shown;
    }

    // As the kubelet mounts a secret: the files lead to a folder by way of a link, which is replaced as a whole.
    private static void LayOutAsASecret(string folder)
    {
        System.IO.Directory.CreateDirectory(Path.Combine(folder, "0"));
        File.CreateSymbolicLink(Path.Combine(folder, "..data"), "0");
        foreach (var name in new[] { "tls.crt", "tls.key", "ca.crt" })
        {
            // At no moment is there no such file, or another one.
            File.Copy(Path.Combine(folder, name), Path.Combine(folder, "0", name));
            File.CreateSymbolicLink(Path.Combine(folder, "link"), Path.Combine("..data", name));
            File.Move(Path.Combine(folder, "link"), Path.Combine(folder, name), overwrite: true);
        }
    }

    private static async Task LeadToAsync(string folder, string version)
    {
        File.CreateSymbolicLink(Path.Combine(folder, "next"), version);
        var run = await ChartTool.SystemAsync("mv", "--no-target-directory", Path.Combine(folder, "next"), Path.Combine(folder, "..data"));
        Assert.True(run.ExitCode == 0, run.Error);
    }

    /// <summary>Asks the node its name; null when it does not answer.</summary>
    private static async Task<string?> AskAsync(GrpcChannel channel)
    {
        try
        {
            return (await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest())).Node;
        }
        catch (RpcException)
        {
            return null;
        }
    }

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, ConcurrentQueue<Link> links, CancellationToken cancellationToken)
    {
        var client = new TcpClient();
        await client.ConnectAsync(context.DnsEndPoint.Host, context.DnsEndPoint.Port, cancellationToken);
        var link = new Link(client.GetStream());
        links.Enqueue(link);
        return link;
    }

    /// <summary>A connection that the test can make silent, and of which it hears when it is closed.</summary>
    private sealed class Link(NetworkStream inner) : Stream
    {
        private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private volatile bool _isSilent;

        public Task Closed => _closed.Task;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        /// <summary>From now on nothing arrives, on either side.</summary>
        public void FallSilent() => _isSilent = true;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            if (_isSilent)
            {
                await _closed.Task.WaitAsync(cancellationToken);
            }

            return read;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            _isSilent ? ValueTask.CompletedTask : inner.WriteAsync(buffer, cancellationToken);

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            base.Dispose(disposing);
            inner.Dispose();
            _closed.TrySetResult();
        }
    }

    /// <summary>Takes nothing more after the first frame has begun to come, until it is released.</summary>
    private sealed class HoldingSink : IRangeSink, IDisposable
    {
        private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly ManualResetEventSlim _released = new();

        public Task Begun => _begun.Task;

        public void Release() => _released.Set();

        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            _begun.TrySetResult();
            return _released.Wait(Wait.Longest);
        }

        public void Dispose() => _released.Dispose();

        public void Told(string mediaType)
        {
        }

        public void Waiting()
        {
        }
    }

    private static async Task AnnounceAsync(AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse> call, ulong sequence)
    {
        await call.RequestStream.WriteAsync(new AnnounceRequest { Sequence = sequence, Member = sequence == 1 ? new Member { Node = "node-2", Incarnation = 1 } : null });
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal(sequence, call.ResponseStream.Current.Acknowledged);
    }
}
