using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>Settings of the HTTP/1.1 server on loopback, section <c>Peerd:Facade</c>.</summary>
internal sealed class FacadeOptions
{
    public const string Section = "Peerd:Facade";

    /// <summary>
    /// Largest manifest that is served, by the size it claims and the size it has. Registries and containerd draw the
    /// line at the same place.
    /// </summary>
    public const long MaxManifestSize = 4 * 1024 * 1024;

    /// <summary>Registry that is meant when a request carries no <c>ns</c>. Default <c>docker.io</c>; it must be configured like any other.</summary>
    [Required]
    public string DefaultRegistry { get; set; } = "docker.io";

    /// <summary>
    /// Time until the head of an answer must be known, 1 second to 10 minutes; then the client is told 504. Default
    /// 25 seconds: containerd 2.3 gives up after 30, older ones wait for ever.
    /// </summary>
    public TimeSpan AnswerTimeout { get; set; } = TimeSpan.FromSeconds(25);

    /// <summary>Time for a client to send the head of its request, 1 second to 1 minute. Default 15 seconds.</summary>
    public TimeSpan RequestHeadersTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Connections of clients at one time, 1 to 65536; more are closed at once. Default 1024.</summary>
    [Range(1, 65536)]
    public int MaxConnections { get; set; } = 1024;
}

/// <summary>Checks <see cref="FacadeOptions"/> field by field.</summary>
[OptionsValidator]
internal sealed partial class FacadeOptionsValidator : IValidateOptions<FacadeOptions>;

/// <summary>Checks in <see cref="FacadeOptions"/> what attributes cannot say.</summary>
internal sealed class FacadeOptionsRules : IValidateOptions<FacadeOptions>
{
    public ValidateOptionsResult Validate(string? name, FacadeOptions options)
    {
        var result = new ValidateOptionsResultBuilder();
        if (!RegistryName.TryParse(options.DefaultRegistry, out _))
        {
            Refuse(result, nameof(options.DefaultRegistry), options.DefaultRegistry, "host or host:port, for example docker.io");
        }

        if (options.AnswerTimeout < TimeSpan.FromSeconds(1) || options.AnswerTimeout > TimeSpan.FromMinutes(10))
        {
            Refuse(result, nameof(options.AnswerTimeout), options.AnswerTimeout, "1 second to 10 minutes");
        }

        if (options.RequestHeadersTimeout < TimeSpan.FromSeconds(1) || options.RequestHeadersTimeout > TimeSpan.FromMinutes(1))
        {
            Refuse(result, nameof(options.RequestHeadersTimeout), options.RequestHeadersTimeout, "1 second to 1 minute");
        }

        return result.Build();
    }

    private static void Refuse(ValidateOptionsResultBuilder result, string key, object value, string allowed) =>
        result.AddError($"{FacadeOptions.Section}:{key} is '{value}'; allowed: {allowed}");
}
