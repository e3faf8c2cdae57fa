using System.Text;
using System.Text.Json;
using CsCheck;
using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Tests.Cli.Overlaybd;

/// <summary>The edits as such, on text.</summary>
public sealed class P2pSettingTests
{
    private const string Ours = OverlaybdAddress.Default;

    // As overlaybd ships it.
    private const string Shipped =
        """
        {
            "logConfig": {
                "logLevel": 1,
                "logPath": "/var/log/overlaybd.log"
            },
            "download": {
                "enable": true
            },
            "p2pConfig": {
                "enable": false,
                "address": "localhost:19145/dadip2p"
            },
            "registryFsVersion": "v2"
        }

        """;

    public static TheoryData<string, string> Edits { get; } = new()
    {
        { Shipped, Shipped.Replace("\"enable\": false", "\"enable\": true", StringComparison.Ordinal).Replace("localhost:19145/dadip2p", Ours, StringComparison.Ordinal) },

        // Not there.
        { "{}", "{\"p2pConfig\": {\"enable\": true, \"address\": \"" + Ours + "\"}}" },
        { "{\n}\n", "{\n    \"p2pConfig\": {\n        \"enable\": true,\n        \"address\": \"" + Ours + "\"\n    }\n}\n" },
        { "{\"a\":1,\"b\":{}}", "{\"a\":1,\"b\":{},\"p2pConfig\":{\"enable\":true,\"address\":\"" + Ours + "\"}}" },
        { "{ \"a\": 1, \"b\": 2 }\n", "{ \"a\": 1, \"b\": 2, \"p2pConfig\": { \"enable\": true, \"address\": \"" + Ours + "\" } }\n" },
        { "{\n  \"a\": 1\n}", "{\n  \"a\": 1,\n  \"p2pConfig\": {\n    \"enable\": true,\n    \"address\": \"" + Ours + "\"\n  }\n}" },
        { "{\n\t\"a\": 1\n}\n", "{\n\t\"a\": 1,\n\t\"p2pConfig\": {\n\t\t\"enable\": true,\n\t\t\"address\": \"" + Ours + "\"\n\t}\n}\n" },
        { "{\r\n    \"a\": 1\r\n}\r\n", "{\r\n    \"a\": 1,\r\n    \"p2pConfig\": {\r\n        \"enable\": true,\r\n        \"address\": \"" + Ours + "\"\r\n    }\r\n}\r\n" },

        // Empty, or half.
        { "{\n  \"p2pConfig\": {},\n  \"a\": 1\n}", "{\n  \"p2pConfig\": {\n    \"enable\": true,\n    \"address\": \"" + Ours + "\"\n  },\n  \"a\": 1\n}" },
        { "{\n  \"p2pConfig\": {\n  }\n}", "{\n  \"p2pConfig\": {\n    \"enable\": true,\n    \"address\": \"" + Ours + "\"\n  }\n}" },
        { "{\n  \"p2pConfig\": { \"enable\": false }\n}", "{\n  \"p2pConfig\": { \"enable\": true, \"address\": \"" + Ours + "\" }\n}" },
        { "{\n  \"p2pConfig\": {\n    \"address\": \"x\"\n  }\n}", "{\n  \"p2pConfig\": {\n    \"address\": \"" + Ours + "\",\n    \"enable\": true\n  }\n}" },
        { "{\"p2pConfig\":{/* none */}}", "{\"p2pConfig\":{\"enable\": true, \"address\": \"" + Ours + "\"/* none */}}" },

        // Other values and keys.
        { "{\"p2pConfig\": {\"more\": [1], \"enable\": \"yes\", \"address\": null}}", "{\"p2pConfig\": {\"more\": [1], \"enable\": true, \"address\": \"" + Ours + "\"}}" },
        { "{\"p2pConfig\": {\"enable\": true, \"address\": \"http://other:1/x\"}}", "{\"p2pConfig\": {\"enable\": true, \"address\": \"" + Ours + "\"}}" },

        // Twice: overlaybd takes the first.
        { "{\"p2pConfig\": {\"enable\": false, \"enable\": false, \"address\": \"x\"}, \"p2pConfig\": {}}", "{\"p2pConfig\": {\"enable\": true, \"enable\": false, \"address\": \"" + Ours + "\"}, \"p2pConfig\": {}}" },

        // What only looks like it.
        { "{\"a\": \"{\\\"p2pConfig\\\": {\", \"b\": {\"p2pConfig\": {\"enable\": false}}, \"P2PCONFIG\": 1}", "{\"a\": \"{\\\"p2pConfig\\\": {\", \"b\": {\"p2pConfig\": {\"enable\": false}}, \"P2PCONFIG\": 1, \"p2pConfig\": {\"enable\": true, \"address\": \"" + Ours + "\"}}" },
        { "{\"p2p\\u0043onfig\": {\"\\u0065nable\": false, \"address\": \"ü\\ud83d\\ude00😀\"}, \"ключ\": \"値\"}", "{\"p2p\\u0043onfig\": {\"\\u0065nable\": true, \"address\": \"" + Ours + "\"}, \"ключ\": \"値\"}" },

        // Comments and trailing commas.
        { "// top\n{\n  \"a\": 1, // one\n  /* \"p2pConfig\": {} */\n}\n// end", "// top\n{\n  \"a\": 1,\n  \"p2pConfig\": {\n    \"enable\": true,\n    \"address\": \"" + Ours + "\"\n  }, // one\n  /* \"p2pConfig\": {} */\n}\n// end" },
        { "{\"p2pConfig\": {\"enable\": /* no */ false, \"address\": \"x\",},}", "{\"p2pConfig\": {\"enable\": /* no */ true, \"address\": \"" + Ours + "\",},}" },
    };

    [Theory]
    [MemberData(nameof(Edits))]
    public void TurnOn_AnySettings_EditsOnlyP2p(string before, string after)
    {
        var with = P2pSetting.TurnOn(Of(before), Ours);

        Assert.Equal(after, Text(with));
        Assert.Equal(new P2pSetting(true, Ours), P2pSetting.Of(with));
    }

    [Theory]
    [MemberData(nameof(Edits))]
    public void TakeOut_NothingElseChanged_GivesTheSameBytes(string before, string after) =>
        Assert.Equal(before, Text(P2pSetting.TakeOut(Of(after), Memory(Of(before)))));

    [Theory]
    [MemberData(nameof(Edits))]
    public void TakeOut_OthersChangedP2p_KeepsTheirChange(string before, string after)
    {
        var former = P2pSetting.Object(Of(before));
        var changed = Of(after).With("p2pConfig", P2pSetting.Object(Of(after))!.With("theirs", "1").Text);

        var rest = P2pSetting.Object(P2pSetting.TakeOut(changed, Memory(Of(before))))!;

        Assert.Equal((former?.ValueOf("enable"), former?.ValueOf("address"), "1"), (rest.ValueOf("enable"), rest.ValueOf("address"), rest.ValueOf("theirs")));
    }

    [Fact]
    public void TakeOut_OthersTurnedItOff_StaysOff()
    {
        var off = P2pSetting.TurnOn(Of("{}"), Ours);
        off = off.With("p2pConfig", P2pSetting.Object(off)!.With("enable", "false").Text);

        Assert.Equal("{\"p2pConfig\": {\"enable\": false}}", Text(P2pSetting.TakeOut(off, Memory(Of("{}")))));
    }

    [Theory]
    [InlineData("{\"p2pConfig\": {\"enable\": true, \"address\": \"" + Ours + "\"}}", "{}")]
    [InlineData("{\"p2pConfig\": {\"enable\": true, \"address\": \"" + Ours + "\", }, \"a\": 1}", "{\"a\": 1}")]
    [InlineData("{\"p2pConfig\": {\"enable\": true, \"more\": 1, \"address\": \"" + Ours + "\"}}", "{\"p2pConfig\": {\"more\": 1}}")]
    public void TakeOut_NothingIsRemembered_TakesBothKeys(string before, string after) =>
        Assert.Equal(after, Text(P2pSetting.TakeOut(Of(before), memory: null)));

    [Theory]
    [InlineData("{\"p2pConfig\": \"on\"}", "has a p2pConfig that is a string, not an object")]
    [InlineData("{\"p2pConfig\": []}", "has a p2pConfig that is an array, not an object")]
    [InlineData("{\"p2pConfig\": null}", "has a p2pConfig that is null, not an object")]
    public void Of_P2pConfigIsNoObject_SaysSo(string text, string expected) =>
        Assert.Equal(expected, Assert.Throws<FormatException>(() => P2pSetting.Of(Of(text))).Message);

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void TurnOn_GeneratedSettings_ChangesOnlyP2pAndIsUndone() => GeneratedSettings.All.Sample(
        text =>
        {
            var before = Of(text);
            var after = P2pSetting.TurnOn(before, Ours);

            Assert.Equal(new P2pSetting(true, Ours), P2pSetting.Of(after));
            Assert.Equal(Others(text, ["p2pConfig"]), Others(Text(after), ["p2pConfig"]));
            Assert.Equal(Others(P2pSetting.Object(before)?.Text ?? "{}", ["enable", "address"]), Others(P2pSetting.Object(after)!.Text, ["enable", "address"]));
            Assert.Equal(Text(after), Text(P2pSetting.TurnOn(after, Ours)));
            Assert.Equal(text, Text(P2pSetting.TakeOut(after, Memory(before))));
        },
        iter: 1_000,
        print: text => text);

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void TakeOut_GeneratedSettingsWrittenAnew_BringsTheValuesBack() => GeneratedSettings.All.Sample(
        text =>
        {
            var before = Of(text);

            // As any tool does that reads and writes JSON; of names that occur twice it keeps all.
            using var document = Parse(Text(P2pSetting.TurnOn(before, Ours)));
            var anew = Of(JsonSerializer.Serialize(document.RootElement, JsonSerializerOptions.Web));

            var rest = P2pSetting.TakeOut(anew, Memory(before));

            Assert.Equal(P2pSetting.Of(before), P2pSetting.Of(rest));
            Assert.Equal(Others(text, ["p2pConfig"]), Others(Text(rest), ["p2pConfig"]));
            Assert.Equal(P2pSetting.Object(before) is null, P2pSetting.Object(rest) is null);
        },
        iter: 1_000,
        print: text => text);

    /// <summary>Names and values of all members but the first of each of the names.</summary>
    private static List<string> Others(string text, HashSet<string> names)
    {
        using var document = Parse(text);
        return [.. document.RootElement.EnumerateObject().Where(member => !names.Remove(member.Name)).Select(member => $"{member.Name}={JsonSerializer.Serialize(member.Value)}")];
    }

    private static JsonDocument Parse(string text) =>
        JsonDocument.Parse(text, new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });

    private static OverlaybdMemory Memory(JsonObjectText before) =>
        new(before.ValueOf("p2pConfig"), P2pSetting.TurnOn(before, Ours).ValueOf("p2pConfig")!);

    private static JsonObjectText Of(string text) => new(Encoding.UTF8.GetBytes(text));

    private static string Text(JsonObjectText text) => Encoding.UTF8.GetString(text.Bytes.Span);
}
