using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>nginx in one process that serves a folder, set up as well as it can be for large files.</summary>
internal sealed class Nginx
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);

    private Nginx(RunningProcess process, Uri endpoint)
    {
        Process = process;
        Endpoint = endpoint;
    }

    public RunningProcess Process { get; }

    public Uri Endpoint { get; }

    /// <summary>As a registry in the configuration of nodes.</summary>
    public Upstream Upstream => new(Endpoint.Authority, Endpoint);

    /// <summary>The file as this server has it.</summary>
    public HttpServer Serving(BenchmarkFile file) => new("nginx", Process, new Uri(Endpoint, file.UrlPath));

    public static async Task<Nginx> StartAsync(Lab lab, string root)
    {
        var port = FreePorts.Take();
        var folder = lab.CreateFolder($"nginx-{port}");
        var config = Path.Combine(folder, "nginx.conf");
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
              server {
                listen 127.0.0.1:{{port}};
                location / { root {{root}}; }
                location = /ready { return 200; }
              }
            }
            """);
        var endpoint = new Uri($"http://127.0.0.1:{port}/");
        var process = await lab.StartAsync("nginx", "/usr/sbin/nginx", ["-c", config, "-p", folder, "-e", "stderr"]);
        await Wait.UntilOkAsync(new Uri(endpoint, "ready"), process, StartTimeout);
        return new Nginx(process, endpoint);
    }
}
