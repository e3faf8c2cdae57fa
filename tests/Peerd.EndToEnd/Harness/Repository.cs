namespace Peerd.EndToEnd.Harness;

/// <summary>Where things are in the repository that this test was built from.</summary>
internal static class Repository
{
    private static readonly Lazy<string> LazyRoot = new(FindRoot);

    /// <summary>The folder with the solution.</summary>
    public static string Root => LazyRoot.Value;

    /// <summary>
    /// The command line that <c>peerd</c> starts with: the program that <c>PEERD_PROGRAM</c> names, from the folder with the solution, or <c>peerd.dll</c>,
    /// built with the same configuration as this test.
    /// </summary>
    public static string[] Peerd
    {
        get
        {
            if (Environment.GetEnvironmentVariable("PEERD_PROGRAM") is { Length: > 0 } program)
            {
                return [Path.Combine(Root, program)];
            }

            return BuiltPeerd;
        }
    }

    /// <summary>
    /// The command line of another build of <c>peerd</c>, for another processor or of another version: the program that <c>PEERD_OTHER_PROGRAM</c> names,
    /// from the folder with the solution; null when it names none.
    /// </summary>
    public static string[]? OtherPeerd => Environment.GetEnvironmentVariable("PEERD_OTHER_PROGRAM") is { Length: > 0 } program ? [Path.Combine(Root, program)] : null;

    /// <summary>The command line of <c>peerd.dll</c>, whatever <c>PEERD_PROGRAM</c> says.</summary>
    public static string[] BuiltPeerd => BuiltProgram("src/Peerd.Node", "peerd.dll");

    /// <summary>The command line of the benchmarks, built with the same configuration as this test.</summary>
    public static string[] Benchmarks => BuiltProgram("tests/Peerd.Benchmarks", "Peerd.Benchmarks.dll");

    /// <summary>The <c>buf</c> program, installed by <c>scripts/install-test-tools.sh</c>.</summary>
    public static string Buf => Path.Combine(Root, ".tools/bin/buf");

    private static string[] BuiltProgram(string project, string program)
    {
        // …/bin/<configuration>/<framework>/
        var framework = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        return ["dotnet", Path.Combine(Root, project, "bin", framework.Parent!.Name, framework.Name, program)];
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Peerd.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"no Peerd.sln above {AppContext.BaseDirectory}");
    }
}
