namespace Peerd.EndToEnd.Harness;

/// <summary>What a program sees of a read that failed. Public, for parameters of theories.</summary>
public enum OverlaybdError
{
    /// <summary>EIO.</summary>
    Failed,

    /// <summary>EPERM.</summary>
    NotPermitted,

    /// <summary>ENOENT.</summary>
    NotFound,

    /// <summary>EBUSY.</summary>
    Busy,

    /// <summary>ETIMEDOUT.</summary>
    TimedOut,
}

/// <summary>A read that failed in the way that overlaybd knows how to handle.</summary>
internal sealed class OverlaybdException : Exception
{
    public OverlaybdException(OverlaybdError error, string message, Exception? inner = null)
        : base(message, inner) => Error = error;

    /// <param name="status">What the last try was answered with.</param>
    /// <param name="message">What was asked, and more of the answer.</param>
    public OverlaybdException(int status, string message)
        : this(Of(status), $"{status}: {message}") => Status = status;

    /// <summary>What the program sees.</summary>
    public OverlaybdError Error { get; }

    /// <summary>Status of the last answer; null when there was none.</summary>
    public int? Status { get; }

    private static OverlaybdError Of(int status) => status switch
    {
        401 or 403 => OverlaybdError.NotPermitted,
        404 => OverlaybdError.NotFound,
        429 => OverlaybdError.Busy,
        _ => OverlaybdError.Failed,
    };
}
