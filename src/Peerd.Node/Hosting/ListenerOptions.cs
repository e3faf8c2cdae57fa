using System.Net;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Hosting;

/// <summary>Sections <c>Peerd:Facade</c> and <c>Peerd:Metrics</c>, as far as they say where to listen.</summary>
internal sealed class ListenerOptions
{
    /// <summary>Address and port of the facade. Default <c>127.0.0.1:30000</c>.</summary>
    public string Facade { get; set; } = "127.0.0.1:30000";

    /// <summary>Address and port of metrics and probes. Default <c>0.0.0.0:30004</c>.</summary>
    public string Metrics { get; set; } = "0.0.0.0:30004";

    internal IPEndPoint FacadeEndPoint => IPEndPoint.Parse(Facade);

    internal IPEndPoint MetricsEndPoint => IPEndPoint.Parse(Metrics);
}

/// <summary>Checks <see cref="ListenerOptions"/> at start; tells all faults at once.</summary>
internal sealed class ListenerOptionsValidator : IValidateOptions<ListenerOptions>
{
    public ValidateOptionsResult Validate(string? name, ListenerOptions options)
    {
        var errors = new List<string>();
        Check(errors, "Peerd:Facade:Listen", options.Facade, "127.0.0.1:30000");
        Check(errors, "Peerd:Metrics:Listen", options.Metrics, "0.0.0.0:30004");
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private static void Check(List<string> errors, string key, string value, string example)
    {
        if (!IPEndPoint.TryParse(value, out _))
        {
            errors.Add($"{key} is '{value}'; allowed: an IP address and a port, such as {example}");
        }
    }
}
