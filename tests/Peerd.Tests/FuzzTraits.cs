namespace Peerd.Tests;

/// <summary>
/// Tests that try generated input: a little of it in every run, and as much as there is time for with <c>./bench.sh fuzz</c>, which
/// tells CsCheck how long each of them takes and finds them by this trait.
/// </summary>
internal static class FuzzTraits
{
    /// <summary>Name of the trait.</summary>
    public const string Kind = "Kind";

    /// <summary>Its value.</summary>
    public const string Fuzz = "fuzz";
}
