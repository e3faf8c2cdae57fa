using System.CommandLine;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Cli;

/// <summary><c>peerd peers</c>: what a node knows of each other member.</summary>
internal static class PeersCommand
{
    public static Command Create()
    {
        var access = new NodeAccessOptions();
        var json = CommonOptions.Json();
        var command = new Command("peers", "Show what a node knows of the other members.") { access.Address, access.Config, json };
        command.SetAction((parsed, cancellationToken) => NodeQuery.RunAsync(
            parsed,
            access,
            (node, options) => node.ListPeersAsync(new ListPeersRequest(), options),
            peers => Show(peers, Report.For(parsed.InvocationConfiguration), parsed.GetValue(json)),
            cancellationToken));
        return command;
    }

    internal static void Show(ListPeersResponse response, Report report, bool json)
    {
        if (json)
        {
            report.Json(
                new PeersReport([.. response.Peers.Select(peer =>
                    new PeersReport.Peer(peer.Node, peer.Address, peer.Connected, peer.ReceivedBytes, peer.SentBytes, peer.Failures))]),
                ReportJson.Default.PeersReport);
            return;
        }

        report.Table(
            ["peer", "address", "connected", "received#", "sent#", "failures#"],
            response.Peers.Select(peer => new[]
            {
                peer.Node,
                peer.Address,
                peer.Connected ? "yes" : "no",
                $"{new ByteSize(peer.ReceivedBytes).ToRoundedText()}",
                $"{new ByteSize(peer.SentBytes).ToRoundedText()}",
                $"{peer.Failures}",
            }));
    }
}
