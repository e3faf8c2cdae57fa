namespace Peerd.EndToEnd.Faults;

/// <summary>Which tests run only when they are asked for: <c>./test.sh</c> leaves them out, <c>./test.sh faults</c> runs all of them, <c>./test.sh e2e -trait Length=long</c> too.</summary>
internal static class FaultTraits
{
    /// <summary>Name of the trait.</summary>
    public const string Length = "Length";

    /// <summary>Too long for every run, or in need of the machine for itself.</summary>
    public const string Long = "long";
}
