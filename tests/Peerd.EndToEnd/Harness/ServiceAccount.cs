using System.Globalization;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// What a pod finds in its file system and environment to reach the API server. The folder is where every client library expects
/// it, so a process sees it in a mount namespace of its own, and the machine stays as it was.
/// </summary>
internal sealed class ServiceAccount
{
    // The folder that the first argument names is copied; what follows is the program.
    private const string Script = """
        mount -t tmpfs -o mode=0755 none /var/run
        mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
        cp "$0"/* /var/run/secrets/kubernetes.io/serviceaccount/
        exec "$@"
        """;

    /// <summary>Namespace of the pod.</summary>
    public const string Namespace = "peerd-ns";

    private readonly string _folder;
    private readonly int _port;

    private ServiceAccount(string folder, int port)
    {
        _folder = folder;
        _port = port;
    }

    /// <summary>Where the API server is.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["KUBERNETES_SERVICE_HOST"] = "localhost",
        ["KUBERNETES_SERVICE_PORT"] = _port.ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>Writes the files.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="port">Of the API server, on loopback.</param>
    /// <param name="token">What it asks for.</param>
    /// <param name="authorities">Who has signed its certificate.</param>
    public static ServiceAccount Write(string folder, int port, string token, string authorities)
    {
        File.WriteAllText(Path.Combine(folder, "token"), token);
        File.WriteAllText(Path.Combine(folder, "ca.crt"), authorities);
        File.WriteAllText(Path.Combine(folder, "namespace"), Namespace);
        return new ServiceAccount(folder, port);
    }

    /// <summary>The command line of a program that is to find the files. Needs root.</summary>
    public IReadOnlyList<string> Wrap(IReadOnlyList<string> program) => ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-ec", Script, _folder, .. program];
}
