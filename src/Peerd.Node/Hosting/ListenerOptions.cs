using System.Net;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Membership;

namespace Peerd.Node.Hosting;

/// <summary>Sections <c>Peerd:Facade</c> and <c>Peerd:Metrics</c>, as far as they say where to listen.</summary>
internal sealed class ListenerOptions
{
    /// <summary>Address and port of the facade. Default <c>127.0.0.1:30000</c>.</summary>
    public string Facade { get; set; } = "127.0.0.1:30000";

    /// <summary>Address and port of metrics and probes. Default <c>0.0.0.0:30004</c>.</summary>
    public string Metrics { get; set; } = "0.0.0.0:30004";

    internal IPEndPoint FacadeEndPoint => ListenAddress.Parse(Facade);

    internal IPEndPoint MetricsEndPoint => ListenAddress.Parse(Metrics);
}

/// <summary>Checks <see cref="ListenerOptions"/> at start; tells all faults at once.</summary>
internal sealed class ListenerOptionsValidator : IValidateOptions<ListenerOptions>
{
    public ValidateOptionsResult Validate(string? name, ListenerOptions options)
    {
        var faults = new SettingFaults("Peerd");
        Check(faults, "Facade:Listen", options.Facade);
        Check(faults, "Metrics:Listen", options.Metrics);
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }

    private static void Check(SettingFaults faults, string key, string value)
    {
        if (!ListenAddress.TryParse(value, out _))
        {
            faults.Add(key, value, ListenAddress.Allowed);
        }
    }
}
