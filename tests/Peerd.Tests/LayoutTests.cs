using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text.RegularExpressions;
using Peerd.Contracts;

namespace Peerd.Tests;

/// <summary>Holds the directions between the folders of the node, and keeps I/O out of the contracts.</summary>
public sealed partial class LayoutTests
{
    private const int MatchTimeout = 60_000;

    // From left to right; a level knows those after it, and of its own level what Within allows.
    private static readonly string[][] Levels =
    [
        ["Cli", "Hosting"],
        ["Facade"],
        ["Content"],
        ["Swarm"],
        ["Directory", "Mesh"],
        ["Storage", "Origin", "Ring", "Membership"],
        ["Telemetry", "Limits"],
    ];

    private static readonly (string From, string To)[] Within =
        [("Cli", "Hosting"), ("Directory", "Mesh"), ("Mesh", "Directory"), ("Ring", "Membership")];

    // What begins or ends I/O. Streams and pipes are not here: they are but an interface to bytes.
    private static readonly string[] NotInContracts =
    [
        "System.IO.File", "System.IO.Directory", "System.IO.RandomAccess", "System.IO.MemoryMappedFiles.", "System.IO.StreamReader",
        "System.IO.StreamWriter", "System.Net.", "System.Diagnostics.Process", "System.Console", "Microsoft.AspNetCore.", "Microsoft.Extensions.",
        "Grpc.Net.", "Grpc.AspNetCore.",
    ];

    [Fact]
    public void Node_EachFolder_KnowsOnlyThoseToItsRight() =>
        Assert.Empty(Violations([.. SourceFiles("src/Peerd.Node")]));

    [Fact]
    public void Contracts_TypesUsed_DoNoInputOrOutput() =>
        Assert.DoesNotContain(TypesUsedBy(typeof(Digest).Assembly.Location), IsNotInContracts);

    // The checker is able to fail.
    [Theory]
    [InlineData("Storage/A.cs", "using Peerd.Node.Mesh;\nnamespace Peerd.Node.Storage;", "Storage/A.cs knows Mesh")]
    [InlineData("Ring/A.cs", "namespace Peerd.Node.Ring;\nclass A { global::Peerd.Node.Storage.PieceCache? c; }", "Ring/A.cs knows Storage")]
    [InlineData("Ring/A.cs", "namespace Peerd.Node.Ring;\nclass A { Storage.PieceCache? c; }", "Ring/A.cs knows Storage")]
    [InlineData("Ring/A.cs", "using static Peerd.Node.Origin.Registry;\nnamespace Peerd.Node.Ring;", "Ring/A.cs knows Origin")]
    [InlineData("Ring/A.cs", "using X = Peerd.Node.Origin.Registry;\nnamespace Peerd.Node.Ring;", "Ring/A.cs knows Origin")]
    [InlineData("Membership/A.cs", "using Peerd.Node.Ring;\nnamespace Peerd.Node.Membership;", "Membership/A.cs knows Ring")]
    [InlineData("Hosting/A.cs", "using Peerd.Node.Cli;\nnamespace Peerd.Node.Hosting;", "Hosting/A.cs knows Cli")]
    [InlineData("Ring/A.cs", "namespace Peerd.Node.Storage;", "Ring/A.cs is in namespace Peerd.Node.Storage")]
    [InlineData("Utils/A.cs", "namespace Peerd.Node.Utils;", "Utils is not in the design")]
    [InlineData("Ring/A.cs", "global using Peerd.Node.Membership;\nnamespace Peerd.Node.Ring;", "Ring/A.cs has a global using")]
    [InlineData("Ring/A.cs", "using Peerd.Node.Nowhere;\nnamespace Peerd.Node.Ring;", "Ring/A.cs knows Nowhere")]
    public void Violations_ForbiddenSource_IsFound(string path, string source, string expected) =>
        Assert.Contains(expected, Assert.Single(Violations([(path, source), ("Storage/PieceCache.cs", "namespace Peerd.Node.Storage;\nclass PieceCache;")])), StringComparison.Ordinal);

    [Theory]
    [InlineData("Ring/A.cs", "using Peerd.Node.Membership;\nusing Peerd.Contracts;\nnamespace Peerd.Node.Ring;")]
    [InlineData("Mesh/A.cs", "using Peerd.Node.Directory;\nusing Peerd.Node.Storage;\nnamespace Peerd.Node.Mesh;")]
    [InlineData("Cli/A.cs", "using Peerd.Node.Hosting;\nusing Peerd.Node.Telemetry;\nnamespace Peerd.Node.Cli;")]
    [InlineData("Cli/Parts/A.cs", "namespace Peerd.Node.Cli.Parts;")]
    [InlineData("Program.cs", "using Peerd.Node.Cli;")]
    [InlineData("Ring/A.cs", "namespace Peerd.Node.Ring;\n// Peerd.Node.Storage\n/* Storage.PieceCache */ class A { string s = \"Peerd.Node.Mesh\"; }")]
    [InlineData("Ring/A.cs", "namespace Peerd.Node.Ring;\nclass A { int N => this.Storage.PieceCache; int M => Storage.Other; }")]
    public void Violations_AllowedSource_HasNone(string path, string source) =>
        Assert.Empty(Violations([(path, source), ("Storage/PieceCache.cs", "namespace Peerd.Node.Storage;\nclass PieceCache;")]));

    [Theory]
    [InlineData("System.IO.FileStream", true)]
    [InlineData("System.IO.DirectoryInfo", true)]
    [InlineData("System.Net.Http.HttpClient", true)]
    [InlineData("System.Net.Sockets.Socket", true)]
    [InlineData("Microsoft.AspNetCore.Http.HttpContext", true)]
    [InlineData("System.IO.Hashing.XxHash3", false)]
    [InlineData("System.IO.Stream", false)]
    [InlineData("Grpc.Core.CallInvoker", false)]
    public void IsNotInContracts_AnyType_IsToldByItsName(string type, bool expected) => Assert.Equal(expected, IsNotInContracts(type));

    [Fact]
    public void TypesUsedBy_ThisAssembly_SeesThatTestsReadFiles() =>
        Assert.Contains("System.IO.File", TypesUsedBy(typeof(LayoutTests).Assembly.Location));

    private static List<string> Violations(IReadOnlyList<(string Path, string Source)> files)
    {
        var sources = files.Select(file => (file.Path, Folder: FolderOf(file.Path), Code: WithoutCommentsAndStrings(file.Source))).ToArray();
        var types = sources
            .Where(file => file.Folder is not null)
            .ToLookup(file => file.Folder!, file => DeclaredType().Matches(file.Code).Select(match => match.Groups["type"].Value));
        var violations = new List<string>();
        foreach (var (path, folder, code) in sources)
        {
            if (GlobalUsing().IsMatch(code))
            {
                violations.Add($"{path} has a global using of a folder");
                continue;
            }

            if (folder is null)
            {
                continue;
            }

            if (!Levels.Any(level => level.Contains(folder)))
            {
                violations.Add($"{path}: {folder} is not in the design");
                continue;
            }

            var declared = Namespace().Match(code).Groups["name"].Value;
            if (declared != $"Peerd.Node.{folder}" && !declared.StartsWith($"Peerd.Node.{folder}.", StringComparison.Ordinal))
            {
                violations.Add($"{path} is in namespace {declared}");
                continue;
            }

            // Written in full, or from Peerd.Node on, which is visible from within.
            var full = FullName().Matches(code).Select(match => match.Groups["folder"].Value);
            var partial = PartialName().Matches(code)
                .Where(match => types[match.Groups["folder"].Value].Any(names => names.Contains(match.Groups["type"].Value)))
                .Select(match => match.Groups["folder"].Value);
            violations.AddRange(full.Concat(partial).Distinct().Where(other => !MayKnow(folder, other)).Select(other => $"{path} knows {other}"));
        }

        return violations;
    }

    private static bool MayKnow(string from, string to)
    {
        var (left, right) = (LevelOf(from), LevelOf(to));
        return from == to || right > left || (right == left && Within.Contains((from, to)));
    }

    private static int LevelOf(string folder) => Array.FindIndex(Levels, level => level.Contains(folder));

    private static string? FolderOf(string path) => path.Contains('/', StringComparison.Ordinal) ? path[..path.IndexOf('/', StringComparison.Ordinal)] : null;

    private static string WithoutCommentsAndStrings(string source) => CommentOrString().Replace(source, " ");

    private static bool IsNotInContracts(string type) => NotInContracts.Any(prefix => type.StartsWith(prefix, StringComparison.Ordinal));

    private static IEnumerable<(string Path, string Source)> SourceFiles(string folder)
    {
        var root = Path.Combine(RepositoryRoot(), folder);
        var files = Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories)
            .Select(file => (File: file, Path: Path.GetRelativePath(root, file).Replace('\\', '/')))
            .Where(file => !file.Path.StartsWith("obj/", StringComparison.Ordinal) && !file.Path.StartsWith("bin/", StringComparison.Ordinal))
            .Select(file => (file.Path, File.ReadAllText(file.File)))
            .ToArray();
        Assert.NotEmpty(files);
        return files;
    }

    internal static string RepositoryRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Peerd.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException($"no Peerd.sln above {AppContext.BaseDirectory}");
    }

    private static string[] TypesUsedBy(string assembly)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        var metadata = file.GetMetadataReader();
        return [.. metadata.TypeReferences
            .Select(metadata.GetTypeReference)
            .Select(type => $"{metadata.GetString(type.Namespace)}.{metadata.GetString(type.Name)}")];
    }

    [GeneratedRegex(@"\bglobal\s+using\s+(?:static\s+)?(?:\w+\s*=\s*)?(?:global::)?Peerd\.Node\b", RegexOptions.None, MatchTimeout)]
    private static partial Regex GlobalUsing();

    [GeneratedRegex(@"\bnamespace\s+(?<name>[\w.]+)", RegexOptions.None, MatchTimeout)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"(?<!namespace\s+)\bPeerd\.Node\.(?<folder>[A-Z]\w*)", RegexOptions.None, MatchTimeout)]
    private static partial Regex FullName();

    [GeneratedRegex(@"(?<![\w.])(?:Node\.)?(?<folder>[A-Z]\w*)\.(?<type>[A-Z]\w*)", RegexOptions.None, MatchTimeout)]
    private static partial Regex PartialName();

    [GeneratedRegex(@"\b(?:class|struct|record|interface|enum)\s+(?<type>[A-Z]\w*)", RegexOptions.None, MatchTimeout)]
    private static partial Regex DeclaredType();

    [GeneratedRegex("""//[^\n]*|/\*.*?\*/|"{3}.*?"{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", RegexOptions.Singleline, MatchTimeout)]
    private static partial Regex CommentOrString();
}
