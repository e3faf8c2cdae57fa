namespace Peerd.Node.Cli.Doctor;

/// <summary>One part of <c>peerd doctor</c>; it reports failures as findings and throws only when it is cancelled.</summary>
internal delegate Task<IReadOnlyList<Finding>> DoctorCheck(CancellationToken cancellationToken);

/// <summary>How bad a finding is.</summary>
internal enum Severity
{
    /// <summary>As it should be, or none of our business.</summary>
    Ok,

    /// <summary>It works, but not as well as it could.</summary>
    Warning,

    /// <summary>It does not work, or silently without the mesh.</summary>
    Error,
}

/// <summary>Something that a check has seen.</summary>
/// <param name="Check">What was checked.</param>
/// <param name="Severity">How bad it is.</param>
/// <param name="Seen">What was seen and what follows from it.</param>
/// <param name="Advice">What to do, or null when there is nothing to do.</param>
internal sealed record Finding(string Check, Severity Severity, string Seen, string? Advice = null);
