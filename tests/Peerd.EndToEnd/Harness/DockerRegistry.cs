using System.Net;
using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>Debian's docker-registry with its storage in the lab and its access log in memory.</summary>
internal sealed partial class DockerRegistry
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);

    private const int UsualPort = 5000;

    private readonly RunningProcess _process;
    private readonly LabHost? _host;

    private DockerRegistry(RunningProcess process, LabHost? host, string name)
    {
        _process = process;
        _host = host;
        Name = name;
        Endpoint = new Uri($"http://{Name}/");
    }

    /// <summary>Host and port: how image references begin.</summary>
    public string Name { get; }

    /// <summary>Where it listens.</summary>
    public Uri Endpoint { get; }

    /// <summary>The program itself.</summary>
    public RunningProcess Process => _process;

    /// <summary>For the configuration of nodes.</summary>
    public Upstream Upstream => new(Name, Endpoint);

    /// <summary>For the configuration of nodes that reach the registry over a slow link only.</summary>
    public Upstream Behind(SlowLink link) => new(Name, link.Endpoint);

    /// <summary>Starts an empty registry on loopback.</summary>
    public static Task<DockerRegistry> StartAsync(Lab lab) => StartAsync(lab, FreePorts.Take());

    /// <summary>Starts an empty registry on a given port of loopback.</summary>
    public static Task<DockerRegistry> StartAsync(Lab lab, int port) => StartAsync(lab, null, $"127.0.0.1:{port}", string.Empty);

    /// <summary>Starts an empty registry that serves only those who bring a token for what they ask.</summary>
    /// <param name="lab">Owns it.</param>
    /// <param name="port">Of loopback.</param>
    /// <param name="tokens">Issues the tokens that it accepts.</param>
    public static Task<DockerRegistry> StartAsync(Lab lab, int port, TokenServer tokens) => StartAsync(lab, null, $"127.0.0.1:{port}", $"""
        auth:
          token:
            realm: {tokens.Realm}
            service: {TokenServer.Service}
            issuer: {TokenServer.Issuer}
            rootcertbundle: {tokens.CertificateFile}
        """);

    /// <summary>Starts an empty registry that asks for a password with every request.</summary>
    /// <param name="lab">Owns it.</param>
    /// <param name="port">Of loopback.</param>
    /// <param name="passwords">An htpasswd file with bcrypt hashes.</param>
    public static Task<DockerRegistry> StartAsync(Lab lab, int port, string passwords) => StartAsync(lab, null, $"127.0.0.1:{port}", $"""
        auth:
          htpasswd:
            realm: lab
            path: {passwords}
        """);

    /// <summary>Starts an empty registry on a host of its own.</summary>
    public static Task<DockerRegistry> StartAsync(Lab lab, LabHost host) => StartAsync(lab, host, $"{host.Address}:{UsualPort}", string.Empty);

    /// <summary>Starts a registry on a host of its own that reads through from another one and keeps what it has read.</summary>
    public static Task<DockerRegistry> StartProxyAsync(Lab lab, LabHost host, DockerRegistry remote) =>
        StartAsync(lab, host, $"{host.Address}:{UsualPort}", $"""
            proxy:
              remoteurl: {remote.Endpoint.GetLeftPart(UriPartial.Authority)}
            """);

    /// <summary>Uploads all contents of an image and tags it.</summary>
    /// <param name="image">For all of its platforms.</param>
    /// <param name="repository">Where to.</param>
    /// <param name="tag">Will point to the index.</param>
    /// <param name="authorization">What to bring; null: nothing.</param>
    public async Task PushAsync(TestImage image, string repository, string tag, AuthenticationHeaderValue? authorization = null)
    {
        using var client = _host?.CreateClient() ?? new HttpClient();
        client.BaseAddress = Endpoint;
        client.DefaultRequestHeaders.Authorization = authorization;
        foreach (var blob in (TestImage.Part[])[.. image.Blobs, image.Other.Config, .. image.Other.Layers])
        {
            await PushBlobAsync(client, repository, blob);
        }

        await PushManifestAsync(client, repository, image.Manifest, image.Manifest.Digest.ToString());
        await PushManifestAsync(client, repository, image.Other.Manifest, image.Other.Manifest.Digest.ToString());
        await PushManifestAsync(client, repository, image.Index, tag);
    }

    /// <summary>What was read so far, by digest: answered GETs and bytes of their bodies as the registry wrote them.</summary>
    public IReadOnlyDictionary<Digest, Traffic> ReadSoFar()
    {
        var read = new Dictionary<Digest, Traffic>();
        foreach (var line in _process.Output)
        {
            var match = AccessLogLine().Match(line);
            if (match.Success && Digest.TryParse(match.Groups["digest"].Value, out var digest))
            {
                var former = read.GetValueOrDefault(digest, new Traffic(0, 0));
                var bytes = match.Groups["status"].Value is "200" or "206" ? long.Parse(match.Groups["bytes"].Value) : 0;
                read[digest] = new Traffic(former.Requests + 1, former.Bytes + bytes);
            }
        }

        return read;
    }

    /// <summary>All bytes of bodies that it has written so far.</summary>
    public long BytesSoFar => ReadSoFar().Values.Sum(traffic => traffic.Bytes);

    /// <summary>Stops the registry: from now on connections are refused.</summary>
    public Task StopAsync() => _process.KillAsync();

    private static async Task<DockerRegistry> StartAsync(Lab lab, LabHost? host, string name, string more)
    {
        var folder = lab.CreateFolder($"registry-{name.Replace(':', '-')}");
        var config = Path.Combine(folder, "config.yml");
        await File.WriteAllTextAsync(config, $"""
            version: 0.1
            log:
              level: warn
            storage:
              cache:
                blobdescriptor: inmemory
              filesystem:
                rootdirectory: {folder}/storage
            http:
              addr: {name}
              secret: not-a-secret
            {more}
            """);
        const string Program = "docker-registry";
        var process = await (host is null
            ? lab.StartAsync(Program, "/usr/bin/docker-registry", ["serve", config])
            : host.StartAsync(lab, $"{Program} on {host.Name}", "/usr/bin/docker-registry", ["serve", config]));
        var registry = new DockerRegistry(process, host, name);
        await Wait.UntilAnswerAsync(new Uri(registry.Endpoint, "v2/"), [HttpStatusCode.OK, HttpStatusCode.Unauthorized], process, StartTimeout, host);
        return registry;
    }

    private static async Task PushBlobAsync(HttpClient client, string repository, TestImage.Part blob)
    {
        using var begun = await client.PostAsync(new Uri($"v2/{repository}/blobs/uploads/", UriKind.Relative), null);
        begun.EnsureSuccessStatusCode();
        var location = begun.Headers.Location!.ToString();
        await using var file = File.OpenRead(blob.File);
        using var body = new StreamContent(file);
        body.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using var put = await client.PutAsync(
            new Uri($"{location}{(location.Contains('?', StringComparison.Ordinal) ? '&' : '?')}digest={blob.Digest}", UriKind.RelativeOrAbsolute), body);
        put.EnsureSuccessStatusCode();
    }

    private static async Task PushManifestAsync(HttpClient client, string repository, TestImage.Part manifest, string reference)
    {
        using var body = new ByteArrayContent(await File.ReadAllBytesAsync(manifest.File));
        body.Headers.ContentType = new MediaTypeHeaderValue(manifest.MediaType);
        using var put = await client.PutAsync(new Uri($"v2/{repository}/manifests/{reference}", UriKind.Relative), body);
        put.EnsureSuccessStatusCode();
    }

    // Apache's combined format: 127.0.0.1 - - [time] "GET /v2/x/blobs/sha256:… HTTP/1.1" 200 1234 "" "agent"
    [GeneratedRegex("\"GET /v2/\\S+/(blobs|manifests)/(?<digest>sha256:[0-9a-f]{64})\\S* HTTP/1.1\" (?<status>\\d+) (?<bytes>\\d+) ", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex AccessLogLine();

    /// <summary>What clients have read of one digest.</summary>
    internal sealed record Traffic(int Requests, long Bytes);
}
