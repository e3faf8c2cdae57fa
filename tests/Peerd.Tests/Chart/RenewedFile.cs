namespace Peerd.Tests.Chart;

/// <summary>A file of the repository that is made from other things there, and that people review when it changes.</summary>
internal static class RenewedFile
{
    private const string Variable = "PEERD_RENEW";

    /// <summary>Fails when the file is not this; with <c>PEERD_RENEW=1</c> it is written first.</summary>
    /// <param name="expected">What it must hold.</param>
    /// <param name="path">Its path below the root of the repository.</param>
    public static void AssertHolds(string expected, params string[] path)
    {
        var file = Path.Combine([LayoutTests.RepositoryRoot(), .. path]);
        if (File.Exists(file) && File.ReadAllText(file) == expected)
        {
            return;
        }

        var name = string.Join('/', path);
        if (Environment.GetEnvironmentVariable(Variable) == "1")
        {
            File.WriteAllText(file, expected);
            Assert.Fail($"{name} is renewed: look at what changed, and run the tests again without {Variable}");
        }

        Assert.Equal(expected, File.Exists(file) ? File.ReadAllText(file) : string.Empty);
        Assert.Fail($"{name} is out of date; {Variable}=1 ./test.sh unit -namespace Peerd.Tests.Chart renews it");
    }
}
