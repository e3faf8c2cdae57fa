namespace Peerd.Benchmarks.Herd;

/// <summary>One thing to measure.</summary>
/// <param name="Mode">Who pulls through whom.</param>
/// <param name="Layers">Layers of the image.</param>
/// <param name="Uplink">Link of the registry, in links of a node.</param>
internal sealed record HerdCase(HerdMode Mode, int Layers, int Uplink)
{
    /// <summary>How tables call it.</summary>
    public string Name => NameOf(Mode switch
    {
        HerdMode.OwnerKilled => "owner killed",
        HerdMode.Proxy => "pull-through proxy",
        HerdMode.Zones => "two zones",
        _ => Mode.ToString().ToLowerInvariant(),
    });

    /// <summary>All that the settings ask for, without what would only repeat itself.</summary>
    public static IEnumerable<HerdCase> Of(HerdSettings settings) =>
        from layers in settings.Layers
        from uplink in settings.Uplinks
        from mode in settings.Modes
        let isFirst = uplink == settings.Uplinks[0]
        where mode switch
        {
            // Whether one or four layers come makes no difference to them.
            HerdMode.Direct => layers == settings.Layers[0],
            HerdMode.Proxy => layers == settings.Layers[0] && isFirst,

            // One node's link is the limit, whatever the registry has.
            HerdMode.Alone => isFirst,
            _ => true,
        }
        select new HerdCase(mode, layers, uplink);

    /// <summary>A name with the same layers and uplink.</summary>
    public string NameOf(string what) => $"{what}, {Layers} layer{(Layers == 1 ? "" : "s")}, origin {Uplink}x";
}
