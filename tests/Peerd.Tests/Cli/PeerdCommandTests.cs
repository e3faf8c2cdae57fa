using Peerd.Node.Cli;

namespace Peerd.Tests.Cli;

public sealed class PeerdCommandTests
{
    [Theory]
    [InlineData("--help", "serve")]
    [InlineData("serve --help", "--config")]
    [InlineData("demo --help", "--layers")]
    [InlineData("fetch --help", "--facade")]
    [InlineData("status --help", "--address")]
    [InlineData("ring --help", "<digest>")]
    [InlineData("peers --help", "--json")]
    [InlineData("configure --help", "overlaybd")]
    [InlineData("configure overlaybd --help", "--remove")]
    [InlineData("doctor --help", "--overlaybd-file")]
    [InlineData("probe --help", "--ready")]
    public async Task InvokeAsync_Help_TellsTheOptions(string args, string expected)
    {
        var run = await CommandRun.OfAsync(args.Split(' '));

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains(expected, run.Output, StringComparison.Ordinal);
    }

    // Where the settings say is no address that help could name.
    [Theory]
    [InlineData("status")]
    [InlineData("doctor")]
    [InlineData("fetch")]
    public async Task InvokeAsync_Help_NamesNoAddress(string verb)
    {
        var run = await CommandRun.OfAsync(verb, "--help");

        Assert.Equal(0, run.ExitCode);
        Assert.DoesNotContain("127.0.0.1", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bogus", "'bogus'")]
    [InlineData("--bogus", "'--bogus'")]
    [InlineData("status --bogus", "'--bogus'")]
    [InlineData("status extra", "'extra'")]
    [InlineData("probe", "'probe'")]
    [InlineData("probe a b", "'b'")]
    [InlineData("status --address 127.0.0.1:30001", "--address is '127.0.0.1:30001'; allowed: http://host:port")]
    [InlineData("status --address http://127.0.0.1:30001/path", "--address is")]
    [InlineData("status --address http://user@127.0.0.1:30001", "--address is")]
    [InlineData("peers --address", "--address")]
    [InlineData("ring sha256:abc", "'sha256:abc' is not a digest")]
    [InlineData("fetch", "fetch")]
    [InlineData("fetch a b", "'b'")]
    [InlineData("fetch a --facade ftp://x", "--facade is 'ftp://x'; allowed: http://host:port")]
    [InlineData("fetch a --node nowhere", "--node is 'nowhere'; allowed: http://host:port")]
    [InlineData("fetch a --platform linux", "--platform is 'linux'; allowed: os/architecture")]
    [InlineData("fetch A", "'A' is no image reference")]
    [InlineData("fetch https://reg.example/x", "only URLs of registry blobs are supported")]
    [InlineData("demo --nodes 0", "--nodes is 0; allowed: 1 to 16")]
    [InlineData("demo --nodes 17", "--nodes is 17; allowed: 1 to 16")]
    [InlineData("demo --nodes many", "--nodes is 'many'; allowed: 1 to 16")]
    [InlineData("demo --seed x", "--seed is 'x'; allowed: -2147483648 to 2147483647")]
    [InlineData("demo --layers 0", "--layers is 0; allowed: 1 to 64")]
    [InlineData("demo --size lots", "--size is 'lots'; allowed: 1KiB to 64GiB, written like 64MiB")]
    [InlineData("demo --size 65GiB", "--size is '65GiB'; allowed: 1KiB to 64GiB, written like 64MiB")]
    [InlineData("demo --size 0", "--size is '0'")]
    [InlineData("demo --size 1XiB", "--size is '1XiB'")]
    [InlineData("configure", "configure")]
    [InlineData("configure bogus", "'bogus'")]
    [InlineData("configure overlaybd bogus", "'bogus'")]
    [InlineData("configure overlaybd --address localhost:30000/blobs", "--address is 'localhost:30000/blobs': it does not begin with http://")]
    [InlineData("configure overlaybd --address http://user:pass@localhost/blobs", "--address is '(hidden: contains '@')'")]
    [InlineData("doctor bogus", "'bogus'")]
    [InlineData("doctor --facade localhost", "--facade is 'localhost'; allowed: http://host:port")]
    [InlineData("serve bogus", "'bogus'")]
    [InlineData("serve --bogus=1", "'--bogus=1'")]
    [InlineData("serve --Peerd:Node:Name", "'--Peerd:Node:Name'")]
    [InlineData("serve --Peerd:=1", "'--Peerd:=1'")]
    [InlineData("serve --config /does/not/exist.json", "'/does/not/exist.json'")]
    [InlineData("--Peerd:Node:Name=a --bogus", "'--bogus'")]
    [InlineData("--config=/does/not/exist.json", "'/does/not/exist.json'")]
    public async Task InvokeAsync_BadArguments_SaysWhichAndExitsWith2(string args, string expected)
    {
        var run = await CommandRun.OfAsync(args.Split(' '));

        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.Equal(2, run.Error.Count(c => c == '\n'));
        Assert.Contains("--help'", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bogus", "peerd --help")]
    [InlineData("peers bogus", "peerd peers --help")]
    [InlineData("configure overlaybd bogus", "peerd configure overlaybd --help")]
    public async Task InvokeAsync_BadArguments_NamesTheHelpOfTheVerb(string args, string expected) =>
        Assert.EndsWith($"Try '{expected}'.\n", (await CommandRun.OfAsync(args.Split(' '))).Error, StringComparison.Ordinal);

    [Theory]
    [InlineData("--Peerd:Node:Name=a", true)]
    [InlineData("--peerd:node:name=a", true)]
    [InlineData("--config", true)]
    [InlineData("--config=x", true)]
    [InlineData("--configure", false)]
    [InlineData("status", false)]
    [InlineData("--help", false)]
    public void IsArgument_OnlyThoseOfServe_StandForTheVerb(string argument, bool expected) =>
        Assert.Equal(expected, ServeCommand.IsArgument(argument));

    [Theory]
    [InlineData("serve --Peerd:Node:Name=a --Peerd:Membership:Members:0:Address=[::1]:30001")]
    [InlineData("serve --peerd:node:zone=")]
    [InlineData("demo --nodes 16 --size 1.5GiB --layers 1 --seed -1 --json")]
    [InlineData("fetch docker.io/library/alpine:3 --output out --facade http://[::1]:30000 --json")]
    [InlineData("peers --address https://node-1:30001 --json")]
    public void Create_GoodArguments_AreUnderstood(string args) =>
        Assert.Empty(PeerdCommand.Create().Parse(args.Split(' ')).Errors);
}
