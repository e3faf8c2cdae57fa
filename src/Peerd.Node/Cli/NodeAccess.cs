using System.CommandLine;
using Grpc.Net.Client;
using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Node.Cli;

/// <summary>How commands reach the mesh listeners of nodes: where, and with which certificate.</summary>
/// <param name="Address">The node to ask.</param>
/// <param name="Tls">The certificate of this machine's node, or none.</param>
internal sealed record NodeAccess(Uri Address, MeshTls Tls)
{
    /// <summary>Connects to the node when first used.</summary>
    public GrpcChannel Open() => Open(Address.Authority, node: null);

    /// <summary>Connects to another member when first used. No proxy of the environment stands between: it would not speak HTTP/2.</summary>
    /// <param name="authority">host:port.</param>
    /// <param name="node">Its name; null for any member.</param>
    public GrpcChannel Open(string authority, string? node) =>
        MeshChannel.Open(authority, Tls, node, () => new SocketsHttpHandler { UseProxy = false, UseCookies = false });
}

/// <summary>The options of a command that asks a node, and what the settings of this machine's node say where they are not given.</summary>
/// <param name="name">Name of the option for its address.</param>
/// <param name="description">What that address is.</param>
internal sealed class NodeAccessOptions(string name = "--address", string description = "The mesh listener of the node to ask; unless it is given, that of the settings, by https where the mesh has certificates.")
{
    public Option<Uri?> Address { get; } = CommonOptions.HttpAddress(name, description);

    public Option<FileInfo?> Config { get; } = CommonOptions.Config();

    /// <summary>
    /// Reads the settings of the node from the file of <c>--config</c>, then the environment, for the certificate to show and, unless an
    /// address is given, for where the node of this machine listens. <c>serve</c> reads <c>appsettings.json</c> before both, which lies beside
    /// its program and is not read here.
    /// </summary>
    /// <returns>Null when there is no way, which was said in one line.</returns>
    public Task<NodeAccess?> ReadAsync(ParseResult parsed) => ReadAsync(parsed, settings =>
    {
        var tls = ReadTls(settings);
        var address = parsed.GetValue(Address)
            ?? new UriBuilder(ReadListener(settings, $"{MeshOptions.Section}:{nameof(MeshOptions.Listen)}", new MeshOptions().Listen, Address)) { Scheme = tls.IsOn ? Uri.UriSchemeHttps : Uri.UriSchemeHttp }.Uri;

        return address.Scheme == Uri.UriSchemeHttp || tls.IsOn
            ? new NodeAccess(address, address.Scheme == Uri.UriSchemeHttp ? MeshTls.Off : tls)
            : throw Fault($"{name} is '{address.GetLeftPart(UriPartial.Authority)}'; for https set Peerd:Mesh:Tls in the file of --config, or as environment variables");
    });

    /// <summary>The facade that is given; else that of the node of this machine, read as in <see cref="ReadAsync(ParseResult)"/>.</summary>
    /// <returns>Null when there is no way, which was said in one line.</returns>
    public async Task<Uri?> ReadFacadeAsync(ParseResult parsed, Option<Uri?> facade) =>
        parsed.GetValue(facade) ?? await ReadAsync(parsed, settings => ReadListener(settings, "Peerd:Facade:Listen", new ListenerOptions().Facade, facade));

    private async Task<T?> ReadAsync<T>(ParseResult parsed, Func<IConfiguration, T> read)
        where T : class
    {
        string fault;
        try
        {
            return read(Read(parsed.GetValue(Config)));
        }
        catch (OptionsValidationException e)
        {
            fault = string.Join("; ", e.Failures);
        }
        catch (Exception e) when (e is IOException or InvalidDataException)
        {
            fault = $"the settings of the node cannot be read: {e.Message}";
        }

        await parsed.InvocationConfiguration.Error.WriteLineAsync($"peerd: {fault.ReplaceLineEndings(" ")}");
        return null;
    }

    private static IConfiguration Read(FileInfo? config)
    {
        var builder = new ConfigurationBuilder();
        if (config is not null)
        {
            builder.AddJsonFile(config.FullName, optional: false);
        }

        return builder.AddEnvironmentVariables().Build();
    }

    private static Uri ReadListener(IConfiguration settings, string key, string byDefault, Option<Uri?> instead)
    {
        var listen = settings[key] ?? byDefault;
        return !ListenAddress.TryParse(listen, out var address) ? throw new InvalidDataException($"{key} is '{listen}'; allowed: {ListenAddress.Allowed}")
            : address.Port == 0 ? throw Fault($"{key} is '{listen}', which names no port: give {instead.Name}")
            : new Uri($"http://{ListenAddress.FromThisMachine(address)}");
    }

    private static OptionsValidationException Fault(string text) => new(MeshOptions.Section, typeof(MeshOptions), [text]);

    private static MeshTls ReadTls(IConfiguration settings)
    {
        var options = settings.GetSection(MeshTlsOptions.Section).Get<MeshTlsOptions>() ?? new MeshTlsOptions();
        var checkedOptions = new MeshTlsOptionsValidator().Validate(name: null, options);
        return checkedOptions.Failed
            ? throw new OptionsValidationException(MeshTlsOptions.Section, typeof(MeshTlsOptions), checkedOptions.Failures)
            : new MeshTls(options, self: null, TimeProvider.System, refused: null, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
    }
}
