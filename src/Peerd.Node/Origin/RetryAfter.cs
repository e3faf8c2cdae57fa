namespace Peerd.Node.Origin;

/// <summary>The pause that an answer asks for, in seconds or as a date.</summary>
internal static class RetryAfter
{
    /// <summary>A longer pause is not believed: a limit for the day, a wrong clock, or an error.</summary>
    public static readonly TimeSpan MostBelieved = TimeSpan.FromMinutes(5);

    /// <summary>From 0 to <see cref="MostBelieved"/>; null when the answer asks for none, or not in a way that makes sense.</summary>
    public static TimeSpan? Of(HttpResponseMessage message, TimeProvider time)
    {
        TimeSpan? asked = message.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - time.GetUtcNow(),
            _ => HasTooManyDigits(message) ? MostBelieved : null,
        };
        return asked is { } pause ? TimeSpan.FromTicks(Math.Clamp(pause.Ticks, 0, MostBelieved.Ticks)) : null;
    }

    // A number of seconds that the framework's parser finds too large is one nevertheless.
    private static bool HasTooManyDigits(HttpResponseMessage message) =>
        message.Headers.NonValidated.TryGetValues("Retry-After", out var values) && values.Count == 1
        && values.ToString().AsSpan().Trim() is { Length: > 0 } text && !text.ContainsAnyExceptInRange('0', '9');
}
