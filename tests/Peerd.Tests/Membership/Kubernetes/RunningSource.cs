using System.Net;
using k8s;
using k8s.Authentication;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Node.Membership;
using Peerd.Node.Membership.Kubernetes;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>The source of the members of a cluster, on node <c>a</c>, and all lists that it publishes.</summary>
internal sealed class RunningSource : IAsyncDisposable
{
    private readonly KubernetesMembershipSource _source;
    private readonly CancellationTokenSource _end = new();
    private readonly Lock _lock = new();
    private readonly List<MemberList> _lists = [];
    private readonly Task _recording;

    private RunningSource(KubernetesMembershipSource source)
    {
        _source = source;
        _recording = RecordAsync();
    }

    /// <summary>The lists so far, that before the first answer of the API server included.</summary>
    public IReadOnlyList<MemberList> Lists
    {
        get
        {
            lock (_lock)
            {
                return [.. _lists];
            }
        }
    }

    /// <summary>Starts it.</summary>
    /// <param name="url">The API server.</param>
    /// <param name="options">Its options.</param>
    /// <param name="log">What it logs.</param>
    /// <param name="time">The clock; null is the real one.</param>
    /// <param name="seed">Tells it from those of other nodes.</param>
    /// <param name="file">Has the last list; null is that of the options.</param>
    /// <param name="tokens">Has what the API server is to be shown; null: nothing.</param>
    public static async Task<RunningSource> StartAsync(
        string url, MembershipOptions options, FakeLogger<KubernetesMembershipSource> log, TimeProvider? time = null, int seed = 1, MembersFile? file = null, ITokenProvider? tokens = null)
    {
        time ??= TimeProvider.System;
        var api = new NodeApi(new KubernetesClientConfiguration { Host = url, TokenProvider = tokens }, options, time);
        file ??= new MembersFile(options.StateFile, log);
        var source = new KubernetesMembershipSource(api, options, file, new Member("a", new DnsEndPoint("10.0.0.1", 30001), "self"), new Random(seed), time, log);
        var running = new RunningSource(source);
        await source.StartAsync(CancellationToken.None);
        return running;
    }

    /// <summary>Ends when it follows the nodes no more.</summary>
    public Task Execution => _source.ExecuteTask!;

    /// <summary>Another process is about to begin with what is on disk.</summary>
    public Task KeepAsync() => _source.KeepAsync();

    /// <summary>Waits until this is its list.</summary>
    public Task UntilAsync(MemberList expected) => UntilAsync(expected.Equals);

    /// <summary>Waits until its list is such a one.</summary>
    public Task UntilAsync(Predicate<MemberList> expected) => Wait.UntilAsync(() => Lists is [.., var last] && expected(last), "it has such a list");

    /// <summary>Its list.</summary>
    public async Task<MemberList> FirstAsync()
    {
        await foreach (var list in _source.WatchAsync(CancellationToken.None))
        {
            return list;
        }

        throw new InvalidOperationException();
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _recording.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _source.StopAsync(CancellationToken.None);
        _source.Dispose();
        _end.Dispose();
    }

    private async Task RecordAsync()
    {
        await foreach (var list in _source.WatchAsync(_end.Token))
        {
            lock (_lock)
            {
                _lists.Add(list);
            }
        }
    }
}
