using CsCheck;
using Peerd.Node.Cli.Containerd;

namespace Peerd.Tests.Cli.Containerd;

public sealed class HostsTextTests
{
    private static readonly MirrorHost Mirror = new("http://127.0.0.1:30000");

    // Pieces of files as people write them: keys of the file first, then hosts with comments between.
    private static readonly Gen<string> GenFile =
        from line in OneOf("\n", "\r\n")
        from bom in OneOf("", "\uFEFF")
        from head in OneOf("", "server = \"https://a.test\"", "# a comment", "server = \"https://a.test\" # [host.x]", "ca = [\n  \"/a.crt\",\n  \"/b.crt\"\n]", "note = \"\"\"\n[host.\"x\"]\n\"\"\"")
        from hosts in OneOf("[host.\"http://one.test\"]", "# above\n[host.\"http://two.test\"]\n  capabilities = [\"pull\"]\n", "  [host.'http://three.test']\n  skip_verify = true", "[host.\"http://four.test\".header]\n  x = \"1\"", "").Array[0, 4]
        from tail in OneOf("", "\n", "\n\n", "\n# the end")
        select bom + string.Join('\n', hosts.Distinct().Prepend(head)).Replace("\n", line, StringComparison.Ordinal) + tail.Replace("\n", line, StringComparison.Ordinal);

    private static Gen<string> OneOf(params string[] texts) => Gen.Int[0, texts.Length - 1].Select(index => texts[index]);

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void With_AnyFile_OursIsFirstAllElseStaysAndWithoutIsTheFile() => GenFile.Sample(
        text =>
        {
            var with = new HostsText(new HostsText(text).With(Mirror));

            Assert.Equal(text, with.Without());
            Assert.Equal(with.Text, with.With(Mirror));
            var (before, after) = (HostsText.Parse(text), HostsText.Parse(with.Text));
            Assert.Equal((HostsText.HostsOf(before)?.Keys ?? []).Prepend(Mirror.Url), HostsText.HostsOf(after)!.Keys);
            Assert.Equal(before.Keys.Where(key => key != "host"), after.Keys.Where(key => key != "host"));
            var moved = new HostsText(with.With(new MirrorHost("http://127.0.0.1:31000")));
            Assert.Equal(text, moved.Without());
            Assert.DoesNotContain("30000", moved.Text, StringComparison.Ordinal);
        },
        iter: 500);

    [Fact]
    public void With_HostsWithComments_GoesBeforeTheComment()
    {
        const string Text = "server = \"https://a.test\"\n\n# the old mirror\n[host.\"http://old.test\"]\n";

        Assert.Equal(
            """
            server = "https://a.test"

            # >>> peerd: written by 'peerd configure containerd', taken out with --remove
            [host."http://127.0.0.1:30000"]
              capabilities = ["pull", "resolve"]
              dial_timeout = "1s"

            # <<< peerd
            # the old mirror
            [host."http://old.test"]

            """,
            new HostsText(Text).With(Mirror));
    }

    [Fact]
    public void Without_OthersHaveEditedAround_TheirsStays()
    {
        var text = new HostsText("[host.\"http://old.test\"]\n").With(Mirror);
        var edited = "server = \"https://new.test\"\n" + text + "# more\n";

        Assert.Equal("server = \"https://new.test\"\n[host.\"http://old.test\"]\n# more\n", new HostsText(edited).Without());
    }

    [Theory]
    [InlineData("\n")]
    [InlineData("\r\n")]
    public void Without_OthersHaveGoneOnBehindAFileWhoseLastLineHadNoEnd_BothAreStillReadAsTheyWere(string line)
    {
        var text = $"server = \"https://a.test\"{line}# last";
        var edited = new HostsText(new HostsText(text).With(Mirror) + $"[host.\"http://theirs.test\"]{line}");

        Assert.Equal($"{text}{line}[host.\"http://theirs.test\"]{line}", edited.Without());
        Assert.Equal([Mirror.Url, "http://theirs.test"], HostsText.HostsOf(HostsText.Parse(edited.With(Mirror)))!.Keys);
    }

    [Theory]
    [InlineData("[host.\"http://127.0.0.1:30000\"]\n", "of its own")]
    [InlineData("host = { \"http://a.test\" = { } }\n", "is no TOML|another form")]
    [InlineData("host.\"http://a.test\".skip_verify = true\n", "is no TOML|another form")]
    [InlineData("host = 1\n", "is no table|is no TOML")]
    [InlineData("server = \n", "is no TOML")]
    [InlineData("server = \"\\", "is no TOML")]
    [InlineData("[host\n", "is no TOML")]
    [InlineData("a = 1\na = 2\n", "is no TOML")]
    [InlineData("[host.\"a\"]\n[host.\"a\"]\n", "is no TOML")]
    [InlineData("[host.\"a\"]\n[[host]]\n", "is no TOML")]
    public void With_NoPlaceForIt_SaysWhy(string text, string expected) =>
        Assert.Contains(expected.Split('|'), part => Assert.Throws<FormatException>(() => new HostsText(text).With(Mirror)).Message.Contains(part, StringComparison.Ordinal));

    [Theory]
    [InlineData("# >>> peerd\n")]
    [InlineData("# <<< peerd\n")]
    [InlineData("# <<< peerd\n# >>> peerd\n")]
    [InlineData("# >>> peerd\n# >>> peerd\n# <<< peerd\n")]
    [InlineData("# >>> peerd\n# <<< peerd\n# <<< peerd\n")]
    public void New_BrokenMarks_AreRefused(string text) => Assert.Throws<FormatException>(() => new HostsText(text));
}
