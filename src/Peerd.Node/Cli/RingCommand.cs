using System.CommandLine;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Cli;

/// <summary><c>peerd ring</c>: the ring as a node sees it, and who is responsible for a content.</summary>
internal static class RingCommand
{
    public static Command Create()
    {
        var digest = new Argument<string?>("digest")
        {
            Description = "Also show who is responsible for this content.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        digest.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !Digest.TryParseScoped(result.Tokens[0].Value, out _))
            {
                result.AddError($"'{result.Tokens[0].Value}' is not a digest; allowed: sha256:<64 lower-case hex digits>, sha512:<128 of them>, with +<32 of them> before the colon for a scope");
            }
        });
        var access = new NodeAccessOptions();
        var json = CommonOptions.Json();
        var command = new Command("ring", "Show the members of the ring, and the owner and replicas of a content.") { digest, access.Address, access.Config, json };
        command.SetAction((parsed, cancellationToken) => NodeQuery.RunAsync(
            parsed,
            access,
            (node, options) => node.GetRingAsync(new GetRingRequest { Digest = parsed.GetValue(digest) ?? string.Empty }, options),
            ring => Show(ring, parsed.GetValue(digest), Report.For(parsed.InvocationConfiguration), parsed.GetValue(json)),
            cancellationToken));
        return command;
    }

    internal static void Show(GetRingResponse ring, string? digest, Report report, bool json)
    {
        // A node that is on no ring yet has no owner to name.
        var owner = digest is null ? null : ring.Responsible.FirstOrDefault() ?? string.Empty;
        var replicas = digest is null ? null : ring.Responsible.Skip(1).ToArray();
        if (json)
        {
            report.Json(
                new RingReport(
                    ring.Version,
                    [.. ring.Members.Select(member => new RingReport.Member(member.Node, member.Address, member.Zone))],
                    digest,
                    owner,
                    replicas),
                ReportJson.Default.RingReport);
            return;
        }

        report.Table(
            ["member", "address", "zone"],
            ring.Members.Select(member => new[] { member.Node, member.Address, member.Zone }));
        (string, string)[] facts = [("version", ring.Version), ("members", $"{ring.Members.Count}")];
        report.Facts(digest is null ? facts : [.. facts, ("content", digest), ("owner", owner!), ("replicas", string.Join(", ", replicas!))]);
    }
}
