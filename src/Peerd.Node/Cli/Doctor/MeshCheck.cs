using System.Security.Authentication;
using Grpc.Core;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;

namespace Peerd.Node.Cli.Doctor;

/// <summary>Tells whether the nodes of the mesh reach each other, agree on who is a member, and have clocks that agree; and what this one reads past the mesh.</summary>
/// <param name="node">The mesh listener of this node.</param>
/// <param name="time">Clock.</param>
internal sealed class MeshCheck(NodeAccess node, TimeProvider time)
{
    private const string Name = "mesh";

    /// <summary>Others that are asked at a time.</summary>
    private const int AtOnce = 32;

    /// <summary>Findings that are told one by one.</summary>
    private const int MostTold = 32;

    /// <summary>Hosts that are named.</summary>
    private const int MostHosts = 8;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>For all together: enough for some thousands that answer, or for three hundred that do not.</summary>
    internal static readonly TimeSpan PatienceForAll = TimeSpan.FromSeconds(30);

    /// <summary>More than this is no matter of the way between.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(5);

    /// <summary>Runs once.</summary>
    public async Task<IReadOnlyList<Finding>> RunAsync(CancellationToken cancellationToken)
    {
        using var channel = node.Open();
        var client = new NodeService.NodeServiceClient(channel);
        ListPeersResponse others;
        GetStatusResponse own;
        try
        {
            own = await client.GetStatusAsync(new GetStatusRequest(), Options(cancellationToken));
            others = await client.ListPeersAsync(new ListPeersRequest(), Options(cancellationToken));
        }
        catch (RpcException exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return [new Finding(Name, Severity.Error, $"no node answers at {node.Address.GetLeftPart(UriPartial.Authority)} ({Reason(exception)})", "start peerd on this node, or give the right --node")];
        }

        return [.. await CheckOthersAsync(own, others, cancellationToken), .. HostFindings(own)];
    }

    /// <summary>What containers of this node read past the mesh, or not at all: it shows only when somebody asks for it.</summary>
    private static IEnumerable<Finding> HostFindings(GetStatusResponse own)
    {
        if (own.RefusedBlobHosts.Count > 0)
        {
            yield return new Finding(
                Name, Severity.Warning, $"{own.Node} was asked for blobs of {Names(own.RefusedBlobHosts)}, not on its list of hosts: overlaybd cannot read them", "list in Peerd:Blobs:MoreHosts what images of yours are kept at");
        }

        if (own.UnsharedBlobHosts.Count > 0)
        {
            yield return new Finding(
                Name, Severity.Warning, $"{own.Node} reads blobs of {Names(own.UnsharedBlobHosts)} for each container, past the mesh: anybody can put things there", "let the registry keep them at a host of its own, and list that in Peerd:Blobs:MoreHosts: whoever lists such a store believes everybody who has a place there");
        }

        if (own.UnsharedUrlHosts.Count > 0)
        {
            yield return new Finding(
                Name, Severity.Warning, $"{own.Node} reads some blobs of {Names(own.UnsharedUrlHosts)} for each container, past the mesh: their URLs do not tell for sure what they lead to", $"see the log of {own.Node}: it says once of each host what was wrong with a URL");
        }
    }

    private static string Names(IReadOnlyCollection<string> hosts) => string.Join(", ", hosts.Take(MostHosts)) + (hosts.Count > MostHosts ? $" and {hosts.Count - MostHosts} more" : string.Empty);

    private async Task<IReadOnlyList<Finding>> CheckOthersAsync(GetStatusResponse own, ListPeersResponse others, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        if (others.Peers.Count == 0)
        {
            findings.Add(new Finding(Name, Severity.Warning, $"{own.Node} is alone: no other node is on its list of members", "list the others, see Membership in the configuration"));
            return findings;
        }

        var answers = await AskAllAsync(others.Peers, cancellationToken);
        if (answers.Count(answer => answer is null) is > 0 and var left)
        {
            findings.Add(new Finding(
                Name, Severity.Warning, $"{left} of {answers.Count} others had not answered after {PatienceForAll.TotalSeconds:0} s, when this ended", "run this again, or see to those that do not answer first"));
        }

        findings.AddRange(others.Peers.Zip(answers).SelectMany(pair => pair.Second is { } answer ? FindingsOf(pair.First, answer, own) : []));
        if (findings.Count > MostTold)
        {
            var more = findings.Count - MostTold;
            findings = [.. findings.OrderBy(finding => finding.Severity != Severity.Error).Take(MostTold)];
            findings.Add(new Finding(Name, Severity.Warning, $"there are {more} more findings such as these", $"see to those above first; if most of the {answers.Count} others are among them, see to {own.Node}: then it is the odd one"));
        }

        if (findings.Count == 0)
        {
            findings.Add(new Finding(Name, Severity.Ok, $"{own.Node} and {answers.Count} of {answers.Count} others reach each other, and agree on {own.Members} members and on the time"));
        }

        return findings;
    }

    // Null for those whose turn did not come, or did not end.
    private async Task<IReadOnlyList<Answer?>> AskAllAsync(IReadOnlyList<Peer> peers, CancellationToken cancellationToken)
    {
        var answers = new Answer?[peers.Count];
        using var late = new CancellationTokenSource(PatienceForAll, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, late.Token);
        try
        {
            await Parallel.ForEachAsync(
                Enumerable.Range(0, peers.Count),
                new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = either.Token },
                async (index, token) => answers[index] = await AskAsync(peers[index], token));
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // What has come is told.
        }

        return answers;
    }

    private static IEnumerable<Finding> FindingsOf(Peer peer, Answer answer, GetStatusResponse own)
    {
        if (answer.Status is not { } status)
        {
            yield return new Finding(Name, Severity.Warning, $"{peer.Node} does not answer at {peer.Address} ({answer.Failure}): its contents are read from elsewhere", "see whether peerd runs there, and whether its mesh port can be reached from here");
            yield break;
        }

        if (status.Node != peer.Node)
        {
            yield return new Finding(Name, Severity.Error, $"{status.Node} answers at {peer.Address}, where {peer.Node} should", "correct the address on the list of members, or Node:Name there");
        }
        else if (status.RingVersion != own.RingVersion)
        {
            yield return new Finding(
                Name, Severity.Warning, $"{peer.Node} sees {status.Members} members, {own.Node} sees {own.Members}, or others: while that lasts, some bytes are read twice", "wait a minute; if it stays, compare 'peerd ring' on both");
        }

        if (answer.Skew.Duration() > Skew)
        {
            yield return new Finding(
                Name, Severity.Warning, $"the clock of {peer.Node} is {answer.Skew.Duration().TotalSeconds:0} s {(answer.Skew > TimeSpan.Zero ? "ahead of" : "behind")} the clock here", "set both by NTP: signed URLs and certificates depend on it");
        }
    }

    private async Task<Answer> AskAsync(Peer peer, CancellationToken cancellationToken)
    {
        if (!MemberAddress.TryParse(peer.Address, out _))
        {
            return new Answer(null, "its address makes no sense", default);
        }

        using var channel = node.Open(peer.Address, peer.Node);
        var before = time.GetUtcNow();
        try
        {
            var status = await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest(), Options(cancellationToken));
            var after = time.GetUtcNow();
            var skew = status.TimeUnixMs == 0 ? TimeSpan.Zero : DateTimeOffset.FromUnixTimeMilliseconds(status.TimeUnixMs) - (before + ((after - before) / 2));
            return new Answer(status, string.Empty, skew);
        }
        catch (RpcException exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return new Answer(null, Reason(exception), default);
        }
    }

    // Why a certificate was refused is the one thing that the status does not tell.
    private static string Reason(RpcException exception) =>
        exception.Status.DebugException?.GetBaseException() is AuthenticationException refused ? $"{exception.StatusCode}: {refused.Message}" : exception.StatusCode.ToString();

    private CallOptions Options(CancellationToken cancellationToken) => new(deadline: time.GetUtcNow().UtcDateTime + Patience, cancellationToken: cancellationToken);

    private sealed record Answer(GetStatusResponse? Status, string Failure, TimeSpan Skew);
}
