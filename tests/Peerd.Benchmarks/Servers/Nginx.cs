using System.Net;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>nginx in one process that serves a folder or reads through from another server, set up as well as it can be for large files.</summary>
internal sealed class Nginx
{
    private const string Program = "/usr/sbin/nginx";

    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);

    private Nginx(RunningProcess process, Uri endpoint, Uri? tlsEndpoint)
    {
        TlsEndpoint = tlsEndpoint;
        Process = process;
        Endpoint = endpoint;
    }

    public RunningProcess Process { get; }

    public Uri Endpoint { get; }

    /// <summary>The same by HTTPS, for clients with a certificate; null when it has none itself.</summary>
    public Uri? TlsEndpoint { get; }

    /// <summary>As a registry in the configuration of nodes.</summary>
    public Upstream Upstream => new(Endpoint.Authority, Endpoint);

    /// <summary>The file as this server has it.</summary>
    public HttpServer Serving(BenchmarkFile file) => new("nginx", Process, new Uri(Endpoint, file.UrlPath));

    /// <summary>Serves a folder, on loopback or on a host of its own.</summary>
    public static Task<Nginx> StartAsync(Lab lab, string root, LabHost? host = null) =>
        StartAsync(lab, host, _ => string.Empty, $$"""location / { root {{root}}; }""");

    /// <summary>Serves a folder on loopback in clear text, and with the mutual TLS of the mesh on another port.</summary>
    /// <param name="lab">Owns the process.</param>
    /// <param name="root">The folder.</param>
    /// <param name="tlsFolder">Has the files of <see cref="MeshAuthority"/>.</param>
    public static Task<Nginx> StartWithTlsAsync(Lab lab, string root, string tlsFolder) =>
        StartAsync(lab, host: null, _ => string.Empty, $$"""location / { root {{root}}; }""", tlsFolder);

    /// <summary>Reads slices of 1 MiB through from another server and keeps them; its cache is empty.</summary>
    public static Task<Nginx> StartSlicingProxyAsync(Lab lab, Uri origin, LabHost? host = null) => StartAsync(
        lab,
        host,
        folder => $$"""
            proxy_cache_path {{folder}}/cache levels=1:2 keys_zone=slices:16m inactive=1h use_temp_path=off;
            upstream origin { server {{origin.Authority}}; keepalive 64; keepalive_requests 1000000; }
            """,
        """
        location / {
          slice 1m;
          proxy_pass http://origin;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_set_header Range $slice_range;
          proxy_buffers 16 64k;
          proxy_cache slices;
          proxy_cache_key $uri$slice_range;
          proxy_cache_valid 200 206 1h;
          proxy_cache_lock on;
        }
        """);

    private static async Task<Nginx> StartAsync(Lab lab, LabHost? host, Func<string, string> settingsIn, string location, string? tlsFolder = null)
    {
        var listen = new IPEndPoint(host?.Address ?? IPAddress.Loopback, FreePorts.Take());
        var folder = lab.CreateFolder($"nginx-{listen.Port}");
        var config = Path.Combine(folder, "nginx.conf");
        var tls = tlsFolder is null ? null : new IPEndPoint(IPAddress.Loopback, FreePorts.Take());
        var tlsSettings = tls is null
            ? string.Empty
            : $"""
              listen {tls} ssl;
              ssl_certificate {tlsFolder}/tls.crt;
              ssl_certificate_key {tlsFolder}/tls.key;
              ssl_client_certificate {tlsFolder}/ca.crt;
              ssl_verify_client on;
              ssl_protocols TLSv1.3;
              """;
        await File.WriteAllTextAsync(config, $$"""
            daemon off;
            master_process off;
            pid {{folder}}/pid;
            error_log stderr warn;
            events { worker_connections 1024; }
            http {
              access_log off;
              sendfile on;
              # Not tcp_nopush: with it one range in a hundred waits 40 ms for an acknowledgement.
              keepalive_requests 1000000;
              default_type application/octet-stream;
              client_body_temp_path {{folder}}/body;
              proxy_temp_path {{folder}}/proxy;
              fastcgi_temp_path {{folder}}/fastcgi;
              uwsgi_temp_path {{folder}}/uwsgi;
              scgi_temp_path {{folder}}/scgi;
              {{settingsIn(folder)}}
              server {
                listen {{listen}};
                {{tlsSettings}}
                {{location}}
                location = /ready { return 200; }
              }
            }
            """);
        var endpoint = new Uri($"http://{listen}/");
        var process = await (host is null
            ? lab.StartAsync("nginx", Program, ["-c", config, "-p", folder, "-e", "stderr"])
            : host.StartAsync(lab, $"nginx on {host.Name}", Program, ["-c", config, "-p", folder, "-e", "stderr"]));
        await Wait.UntilOkAsync(new Uri(endpoint, "ready"), process, StartTimeout, host);
        return new Nginx(process, endpoint, tls is null ? null : new Uri($"https://{tls}/"));
    }
}
