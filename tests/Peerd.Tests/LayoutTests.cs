using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text.RegularExpressions;
using Peerd.Contracts;

namespace Peerd.Tests;

/// <summary>Holds the directions between the folders of the node, and keeps I/O out of the contracts and out of what decides who fetches what.</summary>
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

    // They are told of events and of the time, and say what to do: a simulator runs the very same.
    private static readonly string[] PureMachines = ["Swarm/Coordinator.cs", "Swarm/Downloader.cs"];

    [Fact]
    public void Node_EachFolder_KnowsOnlyThoseToItsRight() =>
        Assert.Empty(Violations([.. SourceFiles("src/Peerd.Node")]));

    [Fact]
    public void Contracts_TypesUsed_DoNoInputOrOutput() =>
        Assert.DoesNotContain(TypesUsedBy(typeof(Digest).Assembly.Location), IsNotInContracts);

    [Fact]
    public void PureMachines_AllThatTheyAreMadeOf_NeedsNoClockNoChanceAndNoInputOrOutput() =>
        Assert.Empty(Impurities(SwarmFiles()));

    [Theory]
    [InlineData("Swarm/OriginDealer.cs")]
    [InlineData("Swarm/PeerMatcher.cs")]
    [InlineData("Swarm/HolderTrial.cs")]
    [InlineData("Swarm/SegmentTable.cs")]
    [InlineData("Swarm/SegmentRuns.cs")]
    [InlineData("Swarm/Participant.cs")]
    [InlineData("Swarm/Asker.cs")]
    [InlineData("Swarm/SlownessJudge.cs")]
    [InlineData("Swarm/SourceRate.cs")]
    [InlineData("Swarm/KnownPeers.cs")]
    [InlineData("Swarm/PieceRequest.cs")]
    [InlineData("Swarm/Complaints.cs")]
    [InlineData("Swarm/GrantLeases.cs")]
    [InlineData("Swarm/PieceTable.cs")]
    [InlineData("Swarm/OwnerlessFetches.cs")]
    [InlineData("Swarm/CoordinatorPolicy.cs")]
    [InlineData("Swarm/DownloaderPolicy.cs")]
    public void PartsOf_PureMachines_AreFound(string path) =>
        Assert.Contains(path, PartsOf(PureMachines, Codes(SwarmFiles())).Keys);

    // What runs the machines does all of that, and is no part of them.
    [Theory]
    [InlineData("Swarm/Coordination.cs")]
    [InlineData("Swarm/Download.cs")]
    [InlineData("Swarm/DownloadDriver.cs")]
    [InlineData("Swarm/OwnerLink.cs")]
    public void PartsOf_PureMachines_AreNotWhatRunsThem(string path) =>
        Assert.DoesNotContain(path, PartsOf(PureMachines, Codes(SwarmFiles())).Keys);

    // The checker is able to fail.
    [Theory]
    [InlineData("TimeSpan Now => time.Elapsed; TimeProvider time;", "TimeProvider")]
    [InlineData("long At => DateTimeOffset.UtcNow.Ticks;", "DateTimeOffset")]
    [InlineData("long At => System.DateTime.UtcNow.Ticks;", "DateTime")]
    [InlineData("long At => Stopwatch.GetTimestamp();", "Stopwatch")]
    [InlineData("int Any => Random.Shared.Next();", "Random.Shared")]
    [InlineData("Random _random = new Random();", "new Random()")]
    [InlineData("Random _random = new();", "Random _random = new()")]
    [InlineData("Guid Id => Guid.NewGuid();", "Guid")]
    [InlineData("Task Run() => Task.CompletedTask;", "Task")]
    [InlineData("async void Run() { }", "async")]
    [InlineData("Socket? _socket;", "Socket")]
    [InlineData("HttpClient? _client;", "HttpClient")]
    [InlineData("string Read() => File.ReadAllText(string.Empty);", "File")]
    [InlineData("ILogger<Part> _logger;", "ILogger")]
    public void Impurities_APartOfAPureMachine_AreFound(string member, string expected)
    {
        (string Path, string Source)[] files =
        [
            ("Swarm/Coordinator.cs", "namespace Peerd.Node.Swarm;\nclass Coordinator { Part _part = new(); }"),
            ("Swarm/Downloader.cs", "namespace Peerd.Node.Swarm;\nclass Downloader { Random _random = new(1); }"),
            ("Swarm/Part.cs", $"namespace Peerd.Node.Swarm;\nclass Part {{ {member} }}"),
            ("Swarm/Other.cs", "namespace Peerd.Node.Swarm;\nclass Other { Part _part; Task _task; }"),
        ];

        Assert.Equal([$"Swarm/Part.cs uses {expected}"], Impurities(files).Distinct());
    }

    [Fact]
    public void Impurities_OnlyInCommentsAndNames_AreNone() =>
        Assert.Empty(Impurities(
        [
            ("Swarm/Coordinator.cs", "class Coordinator { // DateTime\n int TaskCount; void StopwatchOf(string File_) { } }"),
            ("Swarm/Downloader.cs", "class Downloader { string _text = \"Task\"; Random _random = new Random(1); }"),
        ]));

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

    /// <summary>What a pure machine, or anything of its folder that it is made of, uses and must not.</summary>
    private static List<string> Impurities(IReadOnlyList<(string Path, string Source)> files) =>
        [.. PartsOf(PureMachines, Codes(files)).SelectMany(part => Impure().Matches(part.Value).Select(match => $"{part.Key} uses {match.Value}"))];

    /// <summary>These files and all those that declare a type which one of them names, with their code.</summary>
    private static Dictionary<string, string> PartsOf(IEnumerable<string> paths, Dictionary<string, string> codes)
    {
        var declaring = codes
            .SelectMany(file => DeclaredType().Matches(file.Value).Select(match => (Type: match.Groups["type"].Value, file.Key)))
            .ToLookup(declared => declared.Type, declared => declared.Key);
        var parts = new Dictionary<string, string>(StringComparer.Ordinal);
        var coming = new Queue<string>(paths);
        while (coming.TryDequeue(out var path))
        {
            if (parts.TryAdd(path, codes[path]))
            {
                foreach (var other in Word().Matches(codes[path]).SelectMany(match => declaring[match.Value]))
                {
                    coming.Enqueue(other);
                }
            }
        }

        return parts;
    }

    private static (string Path, string Source)[] SwarmFiles() => [.. SourceFiles("src/Peerd.Node").Where(file => file.Path.StartsWith("Swarm/", StringComparison.Ordinal))];

    private static Dictionary<string, string> Codes(IEnumerable<(string Path, string Source)> files) =>
        files.ToDictionary(file => file.Path, file => WithoutCommentsAndStrings(file.Source), StringComparer.Ordinal);

    // Or a leak of it would be overlooked in what tests write, see scripts/find-secrets.sh.
    [Theory]
    [InlineData("tests/Peerd.Tests")]
    [InlineData("tests/Peerd.EndToEnd")]
    [InlineData("tests/Peerd.Benchmarks")]
    public void Tests_SignatureOrTokenInThem_BeginsWithTheWordThatIsLookedFor(string folder) =>
        Assert.Empty(SourceFiles(folder).Where(static file => file.Path != "LayoutTests.cs").SelectMany(file => UnmarkedSecret().Matches(file.Source).Select(match => $"{file.Path}: {match.Value}")));

    [Theory]
    [InlineData("/p?sig=abc", true)]
    [InlineData("/p?a=b&sig=S3cret1", false)]
    [InlineData("/p?sig={x}", false)]
    [InlineData("\"Bearer abc\"", true)]
    [InlineData("\"Bearer S3cret\"", false)]
    [InlineData("\"Basic Ym9iOng=\"", true)]
    [InlineData("\"Basic Ym9iOlMzY3JldA==\"", false)]
    [InlineData("\"Bearer realm=x\"", false)]
    [InlineData("Login with { Password = \"wrong\" }", true)]
    [InlineData("Login with { Password = \"S3cret-wrong\" }", false)]
    [InlineData("new(Token: \"abc\")", true)]
    [InlineData("_server.Token = token;", false)]
    [InlineData("await ReplaceTokenAsync(\"second\");", true)]
    [InlineData("await ReplaceTokenAsync(\"S3cret-second\");", false)]
    [InlineData("{\"token\":\"wrong\"}", true)]
    [InlineData("{\\\"token\\\":\\\"wrong\\\"}", true)]
    [InlineData("{\"access_token\": \"S3cret\"}", false)]
    [InlineData("{\"password\":\"{{it}}\"}", false)]
    [InlineData("{\"identitytoken\":\"abc\"}", true)]
    [InlineData("new RegistryCredential(\"user\", \"pass\", false)", true)]
    [InlineData("new RegistryCredential(\"user\", \"S3cret\", false)", false)]
    public void UnmarkedSecret_AnyText_IsFound(string text, bool isUnmarked) => Assert.Equal(isUnmarked, UnmarkedSecret().IsMatch(text));

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

    // A random number generator without a seed has one of the clock.
    [GeneratedRegex(
        @"\bRandom\.Shared\b|\bnew\s+Random\(\)|\bRandom\s+\w+\s*=\s*new\(\)|\b(?:TimeProvider|DateTime|DateTimeOffset|DateOnly|TimeOnly|Stopwatch|Environment|Timer|PeriodicTimer|Guid|RandomNumberGenerator"
        + @"|Task|ValueTask|async|await|Thread|ThreadPool|CancellationToken|Socket|NetworkStream|HttpClient|File|FileInfo|FileStream|RandomAccess|Console|Process|ILogger)\b",
        RegexOptions.None,
        MatchTimeout)]
    private static partial Regex Impure();

    [GeneratedRegex(@"\b[A-Z]\w*", RegexOptions.None, MatchTimeout)]
    private static partial Regex Word();

    [GeneratedRegex(@"\bnamespace\s+(?<name>[\w.]+)", RegexOptions.None, MatchTimeout)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"(?<!namespace\s+)\bPeerd\.Node\.(?<folder>[A-Z]\w*)", RegexOptions.None, MatchTimeout)]
    private static partial Regex FullName();

    [GeneratedRegex(@"(?<![\w.])(?:Node\.)?(?<folder>[A-Z]\w*)\.(?<type>[A-Z]\w*)", RegexOptions.None, MatchTimeout)]
    private static partial Regex PartialName();

    // In URLs and headers; what is assigned to something that is named so, or handed to what replaces it; members of JSON; logins.
    [GeneratedRegex(
        """[?&]sig=(?!S3cret)[0-9A-Za-z]|"(?:Bearer|Basic) (?!S3cret|[a-z]+=|[^" ]*(?:UzNjcmV0|MzY3Jld|TM2NyZX))[0-9A-Za-z]"""
        + """|(?:[Pp]assword|[Ss]ecret|[Tt]oken)\s*[=:]\s*"(?!S3cret)[0-9A-Za-z]|ReplaceToken(?:Async)?\("(?!S3cret)"""
        + """|"(?:\w*token|password)\\?"\s*:\s*\\?"(?!S3cret)[0-9A-Za-z]|Credential\("[^"]*", "(?!S3cret)""",
        RegexOptions.None, MatchTimeout)]
    private static partial Regex UnmarkedSecret();

    [GeneratedRegex(@"\b(?:class|struct|record|interface|enum)\s+(?<type>[A-Z]\w*)", RegexOptions.None, MatchTimeout)]
    private static partial Regex DeclaredType();

    [GeneratedRegex("""//[^\n]*|/\*.*?\*/|"{3}.*?"{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", RegexOptions.Singleline, MatchTimeout)]
    private static partial Regex CommentOrString();
}
