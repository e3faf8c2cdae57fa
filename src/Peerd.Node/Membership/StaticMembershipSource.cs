using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace Peerd.Node.Membership;

/// <summary>
/// The list of members in the configuration. When the configuration changes, the new list is taken over a moment
/// later; a list that is invalid is refused and the last good one stays. Thread-safe.
/// </summary>
internal sealed partial class StaticMembershipSource : IMembershipSource, IDisposable
{
    /// <summary>One edit of a file raises several changes: the list is read this long after the first of them.</summary>
    internal static readonly TimeSpan SettleTime = TimeSpan.FromMilliseconds(100);

    private readonly IOptionsMonitor<MembershipOptions> _options;
    private readonly Member _self;
    private readonly ILogger _logger;
    private readonly Lazy<Latest<MemberList>> _lists;
    private readonly ITimer _settled;
    private readonly IDisposable _subscription;
    private int _pending;
    private bool _saidThatSelfIsMissing;

    /// <param name="options">The list.</param>
    /// <param name="changes">Tells of changes. The monitor does not tell of those that are invalid.</param>
    /// <param name="self">This node: the only member when the list is empty.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Where refused lists are reported.</param>
    public StaticMembershipSource(
        IOptionsMonitor<MembershipOptions> options,
        IOptionsChangeTokenSource<MembershipOptions> changes,
        Member self,
        TimeProvider time,
        ILogger<StaticMembershipSource> logger)
    {
        _options = options;
        _self = self;
        _logger = logger;

        // Not read before it is needed: the options are validated only after all services were made.
        _lists = new Lazy<Latest<MemberList>>(() => new Latest<MemberList>(Read()));
        _settled = time.CreateTimer(_ => TakeOver(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _subscription = ChangeToken.OnChange(changes.GetChangeToken, Changed);
    }

    public IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken) => _lists.Value.WatchAsync(cancellationToken);

    public void Dispose()
    {
        _subscription.Dispose();
        _settled.Dispose();
    }

    private void Changed()
    {
        if (Interlocked.Exchange(ref _pending, 1) == 0)
        {
            _settled.Change(SettleTime, Timeout.InfiniteTimeSpan);
        }
    }

    private void TakeOver()
    {
        // Cleared first, so that a change during the reading is not lost.
        Interlocked.Exchange(ref _pending, 0);
        lock (_lists)
        {
            try
            {
                _lists.Value.Publish(Read());
            }
            catch (OptionsValidationException e)
            {
                Log.Refused(_logger, string.Join("; ", e.Failures));
            }
        }
    }

    private MemberList Read()
    {
        var configured = _options.CurrentValue.Members;
        if (configured.Count == 0)
        {
            return new MemberList([_self]);
        }

        var list = new MemberList(configured.Select(ToMember));
        var selfIsMissing = list.IndexOf(_self.Name) < 0;
        if (selfIsMissing && !_saidThatSelfIsMissing)
        {
            Log.SelfIsMissing(_logger, _self.Name, MembershipOptions.Section);
        }

        _saidThatSelfIsMissing = selfIsMissing;
        return list;
    }

    private static Member ToMember(ConfiguredMember member) =>
        MemberAddress.TryParse(member.Address, out var address)
            ? new Member(member.Name, address, member.Zone)
            : throw new InvalidOperationException($"the address '{member.Address}' of member '{member.Name}' was not validated");

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "The changed list of members is refused and the last good one stays: {Errors}")]
        public static partial void Refused(ILogger logger, string errors);

        [LoggerMessage(2, LogLevel.Warning, "This node, '{Name}', is not in the list {Section}:Members: it reads from the mesh but owns nothing. Add it, or set Peerd:Node:Name to the name that the list has for it")]
        public static partial void SelfIsMissing(ILogger logger, string name, string section);
    }
}
