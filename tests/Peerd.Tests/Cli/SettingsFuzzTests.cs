using System.Text;
using CsCheck;
using Peerd.Node.Cli.Containerd;
using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Tests.Cli;

/// <summary>Files of others that are no good, or only nearly: they are refused, or nothing of them is lost.</summary>
[Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
public sealed class SettingsFuzzTests
{
    private static readonly MirrorHost Mirror = new("http://127.0.0.1:30000");

    private static readonly Gen<string> Toml = Texts(
        "server = \"https://a.test\"\n", "[host.\"http://one.test\"]\n", "  capabilities = [\"pull\"]\n", "[host]\n", "[[host]]\n", "host.", "\"", "'", "\"\"\"", "=", "[", "]", "{", "}", "#", "# >>> peerd\n", "# <<< peerd\n", "\n", "\r\n", "\r", "\uFEFF", " ", "x", "1", "\\", "\0", "é", "\uFFFD");

    private static readonly Gen<string> Json = Texts(
        "{", "}", "[", "]", ":", ",", "\"p2pConfig\"", "\"enable\"", "\"address\"", "\"a\"", "true", "false", "null", "1", "-", "1e9", "\"", "\\", "\\u0041", "\\ud800", "//", "/*", "*/", "\n", "\r\n", " ", "\t", "\uFEFF", "\0", "é",
        "{\"p2pConfig\": {\"enable\": false, \"address\": \"x\"}}", "\"p2pConfig\": {}");

    [Fact]
    public void Hosts_AnyText_IsRefusedOrKept() => Toml.Sample(
        text =>
        {
            HostsText with;
            try
            {
                with = new HostsText(new HostsText(text).With(Mirror));
            }
            catch (FormatException)
            {
                return;
            }

            Assert.Equal(new HostsText(text).Without(), with.Without());
            Assert.Equal(Mirror.Url, HostsText.HostsOf(HostsText.Parse(with.Text))!.Keys.First());
        },
        iter: 3_000,
        print: text => text);

    [Fact]
    public void Overlaybd_AnyText_IsRefusedOrKept() => Json.Sample(
        text =>
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            JsonObjectText before, after;
            try
            {
                before = new JsonObjectText(bytes);
                after = P2pSetting.TurnOn(before, OverlaybdAddress.Default);
            }
            catch (FormatException)
            {
                return;
            }

            Assert.Equal(new P2pSetting(true, OverlaybdAddress.Default), P2pSetting.Of(after));
            var memory = new OverlaybdMemory(before.ValueOf("p2pConfig"), after.ValueOf("p2pConfig")!);
            Assert.True(P2pSetting.TakeOut(after, memory).Bytes.Span.SequenceEqual(bytes));
        },
        iter: 3_000,
        print: text => text);

    private static Gen<string> Texts(params string[] parts) => Gen.Int[0, parts.Length - 1].Array[0, 14].Select(picks => string.Concat(picks.Select(i => parts[i])));
}
