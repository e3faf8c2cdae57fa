using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// How soon an owner asks the other one of its content again what that one knows. Pure. For one run of asking; not thread-safe.
/// </summary>
internal sealed class AskingPace(CoordinatorPolicy policy)
{
    /// <summary>So many times without an answer it is asked again soon: it is only now that this node may have begun to connect.</summary>
    private const int SilencesAtFirst = 4;

    private int _silences;
    private int _wordsWithoutSize;

    /// <summary>How long to wait.</summary>
    /// <param name="told">What the other one said; null when it did not answer.</param>
    /// <param name="isSizeKnown">The owner that asks knows the size of the content.</param>
    public TimeSpan Next(LookupResponse? told, bool isSizeKnown)
    {
        if (told is null)
        {
            return ++_silences <= SilencesAtFirst ? policy.HandOverInterval : policy.HandOver;
        }

        // What deals nothing for a while must hear of it again before.
        return told.State != LookupState.Available ? policy.HandOver - policy.HandOverInterval
            : isSizeKnown ? policy.HandOverInterval
            : DoublingTime.After(_wordsWithoutSize++, policy.FirstHandOverInterval, policy.HandOverInterval);
    }
}
