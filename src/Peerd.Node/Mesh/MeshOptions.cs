using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Mesh;

/// <summary>Section <c>Peerd:Mesh</c>: talking with the other nodes.</summary>
internal sealed class MeshOptions
{
    public const string Section = "Peerd:Mesh";

    /// <summary>Address and port of the gRPC listener. Default <c>0.0.0.0:30001</c>.</summary>
    public string Listen { get; set; } = "0.0.0.0:30001";

    /// <summary>Ranges that are served to peers at the same moment; more are answered "busy". 1 to 1024, default 16.</summary>
    public int Uploads { get; set; } = 16;

    /// <summary>A connection to a peer that takes longer than this has failed. Default <c>2s</c>.</summary>
    public string ConnectTimeout { get; set; } = "2s";

    /// <summary>A peer that sends nothing of a range for this long has failed. Default <c>5s</c>.</summary>
    public string IdleTimeout { get; set; } = "5s";

    /// <summary>Longest time that one range is served. Default <c>60s</c>.</summary>
    public string RangeDeadline { get; set; } = "60s";

    internal TimeSpan ConnectTimeoutValue => Duration.Parse(ConnectTimeout);

    internal TimeSpan IdleTimeoutValue => Duration.Parse(IdleTimeout);

    internal TimeSpan RangeDeadlineValue => Duration.Parse(RangeDeadline);
}

/// <summary>Checks <see cref="MeshOptions"/> at start; tells all faults at once.</summary>
internal sealed class MeshOptionsValidator : IValidateOptions<MeshOptions>
{
    public ValidateOptionsResult Validate(string? name, MeshOptions options)
    {
        var errors = new List<string>();
        if (!System.Net.IPEndPoint.TryParse(options.Listen, out _))
        {
            errors.Add($"Peerd:Mesh:Listen '{options.Listen}' is not an IP address with a port, such as 0.0.0.0:30001");
        }

        if (options.Uploads is < 1 or > 1024)
        {
            errors.Add($"Peerd:Mesh:Uploads '{options.Uploads}' must be between 1 and 1024");
        }

        CheckDuration(errors, nameof(options.ConnectTimeout), options.ConnectTimeout);
        CheckDuration(errors, nameof(options.IdleTimeout), options.IdleTimeout);
        CheckDuration(errors, nameof(options.RangeDeadline), options.RangeDeadline);
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private static void CheckDuration(List<string> errors, string key, string value)
    {
        if (!Duration.TryParse(value, out var duration) || duration <= TimeSpan.Zero || duration > TimeSpan.FromHours(1))
        {
            errors.Add($"Peerd:Mesh:{key} '{value}' must be a duration over 0 and up to 1h, such as 500ms, 5s or 2m");
        }
    }
}
