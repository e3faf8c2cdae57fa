namespace Peerd.EndToEnd.Faults;

/// <summary>Which tests run only when they are asked for: <c>./test.sh</c> leaves them out, <c>./test.sh faults</c> runs them all.</summary>
internal static class FaultTraits
{
    /// <summary>Name of the trait.</summary>
    public const string Length = "Length";

    /// <summary>Too long for every run.</summary>
    public const string Long = "long";
}
