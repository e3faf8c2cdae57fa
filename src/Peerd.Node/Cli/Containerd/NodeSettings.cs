using System.Net.Sockets;
using Peerd.Node.Hosting;
using Peerd.Node.Membership;
using Peerd.Node.Origin;

namespace Peerd.Node.Cli.Containerd;

/// <summary>What the commands need to know of the node on this machine: its facade, and its registries.</summary>
/// <param name="Mirror">The facade, as containerd is led to it.</param>
/// <param name="Registries">The registries that it reads.</param>
internal sealed record NodeSettings(string Mirror, IReadOnlyList<ConfiguredRegistry> Registries)
{
    /// <summary>Reads the node's settings as <c>serve</c> does: file, then environment.</summary>
    /// <param name="config">The file; null for none.</param>
    /// <exception cref="HostsException">They cannot be read, or make no sense.</exception>
    public static NodeSettings Read(FileInfo? config)
    {
        try
        {
            var builder = new ConfigurationBuilder();
            if (config is not null)
            {
                builder.AddJsonFile(config.FullName, optional: false);
            }

            var configuration = builder.AddEnvironmentVariables().Build();
            var origin = configuration.GetSection(OriginOptions.Section).Get<OriginOptions>() ?? new OriginOptions();
            return OriginSettings.TryCreate(origin, out var settings, out var errors)
                ? new NodeSettings(MirrorOf(configuration["Peerd:Facade:Listen"]), [.. settings.Registries.Values.OrderBy(endpoint => endpoint.Name, StringComparer.Ordinal).Select(Of)])
                : throw new HostsException(errors[0]);
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException)
        {
            throw new HostsException($"the settings of the node cannot be read: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }

    /// <summary>A registry as an image names it, at its usual place, or by its address; null when it is neither.</summary>
    public static ConfiguredRegistry? Find(string text)
    {
        var scheme = text.IndexOf("://", StringComparison.Ordinal);
        var name = (scheme < 0 ? text : text[(scheme + 3)..]).TrimEnd('/');

        // Docker Hub is not where its name says.
        var address = scheme < 0 || name == "docker.io" ? null : text.TrimEnd('/');
        return RegistryName.IsValid(name) && RegistryEndpoint.TryCreate(name, address, out var endpoint) ? Of(endpoint) : null;
    }

    private static ConfiguredRegistry Of(RegistryEndpoint endpoint) => new(endpoint.Name, endpoint.Address.GetLeftPart(UriPartial.Authority));

    // containerd takes no zone of an address.
    private static string MirrorOf(string? listen) =>
        !ListenAddress.TryParse(listen ?? new ListenerOptions().Facade, out var address) ? throw new HostsException($"Peerd:Facade:Listen is '{listen}'; allowed: {ListenAddress.Allowed}")
        : address.Address is { AddressFamily: AddressFamily.InterNetworkV6, ScopeId: not 0 } ? throw new HostsException($"Peerd:Facade:Listen is '{listen}', with a zone, which containerd does not take; give --mirror")
        : $"http://{ListenAddress.FromThisMachine(address)}";
}
