using System.Text;
using System.Text.Json;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>What overlaybd's settings say of p2p, and how they are edited: <c>enable</c> and <c>address</c> of <c>p2pConfig</c>. Pure.</summary>
/// <param name="Enabled">Null when there is no such setting, or it is neither true nor false.</param>
/// <param name="Address">Null when there is no such setting, or it is no string.</param>
internal readonly record struct P2pSetting(bool? Enabled, string? Address)
{
    public const string Section = "p2pConfig";
    public const string EnableKey = "enable";
    public const string AddressKey = "address";

    private const string True = "true";

    /// <summary>Reads overlaybd's settings.</summary>
    /// <exception cref="FormatException"><c>p2pConfig</c> is no object.</exception>
    public static P2pSetting Of(JsonObjectText settings) => Object(settings) is { } p2p ? Of(p2p.Find(EnableKey), p2p.Find(AddressKey)) : default;

    /// <summary>Reads the text of <c>p2pConfig</c>.</summary>
    /// <exception cref="FormatException">It is no object.</exception>
    public static P2pSetting OfObject(string text)
    {
        var p2p = Parse(text);
        return Of(p2p.Find(EnableKey), p2p.Find(AddressKey));
    }

    /// <summary><c>p2pConfig</c>, or null when there is none.</summary>
    /// <exception cref="FormatException">It is no object.</exception>
    public static JsonObjectText? Object(JsonObjectText settings) =>
        settings.Find(Section) is { Type: not JsonTokenType.StartObject } member
            ? throw new FormatException($"has a {Section} that is {JsonMemberText.Describe(member.Type)}, not an object")
            : settings.ObjectOf(Section);

    /// <summary>The settings with p2p turned on at an address.</summary>
    public static JsonObjectText TurnOn(JsonObjectText settings, string address)
    {
        // An address has nothing that must be escaped.
        var quoted = $"\"{address}\"";
        return settings.With(Section, Object(settings) is { IsBlank: false } p2p
            ? p2p.With(EnableKey, True).With(AddressKey, quoted).Text
            : settings.Layout.Deeper().Write((EnableKey, True), (AddressKey, quoted)));
    }

    /// <summary>The settings without what <see cref="TurnOn"/> did, which others may have changed since.</summary>
    /// <param name="settings">Settings with an address that is ours.</param>
    /// <param name="memory">What is known of the time before us.</param>
    public static JsonObjectText TakeOut(JsonObjectText settings, OverlaybdMemory? memory)
    {
        var p2p = Object(settings)!;
        if (p2p.Text == memory?.Written)
        {
            return memory.Former is null ? settings.Without(Section) : settings.With(Section, memory.Former);
        }

        var former = memory?.Former is null ? null : Parse(memory.Former);
        var rest = TakeBack(p2p, former, AddressKey);

        // Not ours any more when somebody has turned it off.
        rest = rest.Find(EnableKey) is { Type: JsonTokenType.True } ? TakeBack(rest, former, EnableKey) : rest;
        return rest.IsEmpty && former is null ? settings.Without(Section) : settings.With(Section, rest.Text);
    }

    /// <summary>In words.</summary>
    public override string ToString() => this == default
        ? "not set"
        : $"{(Enabled == true ? "on" : "off")}, {(Address is null ? "no address" : $"address {OverlaybdAddress.Shown(Address)}")}";

    private static P2pSetting Of(JsonMemberText? enable, JsonMemberText? address) =>
        new(enable?.Type switch { JsonTokenType.True => true, JsonTokenType.False => false, _ => null }, address?.Text);

    private static JsonObjectText TakeBack(JsonObjectText p2p, JsonObjectText? former, string name) =>
        former?.ValueOf(name) is { } value ? p2p.With(name, value) : p2p.Without(name);

    private static JsonObjectText Parse(string text) => new(Encoding.UTF8.GetBytes(text));
}
