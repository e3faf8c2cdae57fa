using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

public sealed class StaticMembershipSourceTests : MembershipSourceConformance
{
    private static readonly Member Self = new("self", new DnsEndPoint("10.9.9.9", 30001), "here");

    private protected override ISubject Create(MemberList initial) => new Subject(ToSettings(initial));

    [Fact]
    public async Task WatchAsync_EmptyList_TellsTheNodeItself()
    {
        await using var subject = new Subject([]);
        await using var lists = Watch(subject);

        Assert.Equal(new MemberList([Self]), await NextAsync(lists));
        Assert.Empty(subject.Warnings);
    }

    [Fact]
    public async Task WatchAsync_BecomesEmpty_TellsTheNodeItself()
    {
        await using var subject = new Subject(ToSettings(TestMembership.ListOf("a", "self")));
        await using var lists = Watch(subject);
        await NextAsync(lists);

        subject.Change([]);

        Assert.Equal(new MemberList([Self]), await NextAsync(lists));
    }

    [Fact]
    public async Task WatchAsync_SelfIsNotListed_UsesTheListAndWarnsOnce()
    {
        await using var subject = new Subject(ToSettings(TestMembership.ListOf("a")));
        await using var lists = Watch(subject);
        Assert.Equal(TestMembership.ListOf("a"), await NextAsync(lists));

        await subject.ChangeAsync(TestMembership.ListOf("a", "b"));
        Assert.Equal(TestMembership.ListOf("a", "b"), await NextAsync(lists));

        var warning = Assert.Single(subject.Warnings);
        Assert.Contains("'self'", warning, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WatchAsync_SelfIsListed_UsesTheListAsItIs()
    {
        var list = new MemberList([TestMembership.MemberOf("a"), Self with { Address = new DnsEndPoint("192.0.2.1", 7) }]);
        await using var subject = new Subject(ToSettings(list));
        await using var lists = Watch(subject);

        Assert.Equal(list, await NextAsync(lists));
        Assert.Empty(subject.Warnings);
    }

    [Fact]
    public async Task WatchAsync_InvalidChange_IsRefusedWithOneWarningAndALaterGoodOneIsTaken()
    {
        await using var subject = new Subject(ToSettings(TestMembership.ListOf("self", "a")));
        await using var lists = Watch(subject);
        await NextAsync(lists);
        var invalid = ToSettings(TestMembership.ListOf("self", "b"));
        invalid["Peerd:Membership:Members:0:Address"] = "nowhere";
        invalid["Peerd:Membership:Members:1:Name"] = "no name";

        subject.Change(invalid);

        var warning = Assert.Single(subject.Warnings);
        Assert.Contains("Members:0:Address is 'nowhere'", warning, StringComparison.Ordinal);
        Assert.Contains("Members:1:Name is 'no name'", warning, StringComparison.Ordinal);
        await using (var late = Watch(subject))
        {
            Assert.Equal(TestMembership.ListOf("self", "a"), await NextAsync(late));
        }

        await subject.ChangeAsync(TestMembership.ListOf("self", "c"));
        Assert.Equal(TestMembership.ListOf("self", "c"), await NextAsync(lists));
        Assert.Single(subject.Warnings);
    }

    [Fact]
    public async Task WatchAsync_BurstOfChanges_IsReadOnceAfterTheSettleTime()
    {
        await using var subject = new Subject(ToSettings(TestMembership.ListOf("self")));
        await using var lists = Watch(subject);
        await NextAsync(lists);
        var next = lists.MoveNextAsync().AsTask();

        subject.ChangeWithoutWaiting(ToSettings(TestMembership.ListOf("self", "a")));
        subject.Time.Advance(StaticMembershipSource.SettleTime / 2);
        subject.ChangeWithoutWaiting(ToSettings(TestMembership.ListOf("self", "b")));
        Assert.False(next.IsCompleted);

        // Bursts without end do not put the reading off.
        subject.Time.Advance(StaticMembershipSource.SettleTime / 2);
        Assert.True(await next.WaitAsync(Patience));
        Assert.Equal(TestMembership.ListOf("self", "b"), lists.Current);
    }

    [Fact]
    public async Task WatchAsync_ConfigurationFileIsRewritten_TakesOverTheNewList()
    {
        var folder = Directory.CreateTempSubdirectory("peerd-membership-");
        try
        {
            var file = Path.Combine(folder.FullName, "members.json");
            await File.WriteAllTextAsync(file, ToJson("a"));
            var configuration = new ConfigurationBuilder().AddJsonFile(file, optional: false, reloadOnChange: true).Build();
            using var disposeConfiguration = (IDisposable)configuration;
            await using var services = new ServiceCollection()
                .AddLogging()
                .AddSingleton<IConfiguration>(configuration)
                .AddMembership(_ => Self, _ => true)
                .BuildServiceProvider();
            await using var lists = services.GetRequiredService<IMembershipSource>().WatchAsync(CancellationToken.None).GetAsyncEnumerator(CancellationToken.None);
            Assert.Equal(["a"], (await NextAsync(lists)).Members.Select(member => member.Name));

            await File.WriteAllTextAsync(file, ToJson("bb"));

            Assert.Equal(["bb"], (await NextAsync(lists)).Members.Select(member => member.Name));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task AddMembership_BadSettings_StopAtStartWithAllFaults()
    {
        await using var subject = new Subject(new Dictionary<string, string?>
        {
            ["Peerd:Membership:Source"] = "magic",
            ["Peerd:Membership:Members:0:Name"] = "a",
            ["Peerd:Node:Zone"] = "no zone",
        });

        var error = Record.Exception(() => subject.Services.GetRequiredService<IStartupValidator>().Validate());

        var failures = (error as AggregateException)?.InnerExceptions.Cast<OptionsValidationException>().SelectMany(e => e.Failures);
        Assert.Equal(3, failures?.Count());
    }

    [Fact]
    public async Task AddMembership_NodeSettings_MakeTheIdentity()
    {
        await using var subject = new Subject(new Dictionary<string, string?> { ["Peerd:Node:Name"] = "n", ["Peerd:Node:Zone"] = "z" });

        var identity = subject.Services.GetRequiredService<NodeIdentity>();

        Assert.Equal(new NodeIdentity("n", (ulong)subject.Time.Start.ToUnixTimeMilliseconds(), "z"), identity);
    }

    private static string ToJson(string name) =>
        $$"""{ "Peerd": { "Membership": { "Members": [ { "Name": "{{name}}", "Address": "10.0.0.1:30001" } ] } } }""";

    private static Dictionary<string, string?> ToSettings(MemberList list)
    {
        var settings = new Dictionary<string, string?>();
        for (var i = 0; i < list.Members.Count; i++)
        {
            settings[$"Peerd:Membership:Members:{i}:Name"] = list.Members[i].Name;
            settings[$"Peerd:Membership:Members:{i}:Address"] = MemberAddress.Format(list.Members[i].Address);
            settings[$"Peerd:Membership:Members:{i}:Zone"] = list.Members[i].Zone;
        }

        return settings;
    }

    private sealed class Subject : ISubject
    {
        private readonly ChangingConfiguration _settings = new();
        private readonly FakeLogCollector _logs;

        public Subject(Dictionary<string, string?> settings)
        {
            _settings.Set(settings);
            Services = new ServiceCollection()
                .AddLogging(logging => logging.AddFakeLogging())
                .AddSingleton<IConfiguration>(new ConfigurationBuilder().Add(_settings).Build())
                .AddSingleton<TimeProvider>(Time)
                .AddMembership(_ => Self, _ => true)
                .BuildServiceProvider();
            _logs = Services.GetFakeLogCollector();
        }

        public ServiceProvider Services { get; }

        public FakeTimeProvider Time { get; } = new();

        public IMembershipSource Source => Services.GetRequiredService<IMembershipSource>();

        public IEnumerable<string> Warnings =>
            _logs.GetSnapshot().Where(record => record.Level >= LogLevel.Warning).Select(record => record.Message);

        public Task ChangeAsync(MemberList list)
        {
            Change(ToSettings(list));
            return Task.CompletedTask;
        }

        public void Change(Dictionary<string, string?> settings)
        {
            ChangeWithoutWaiting(settings);
            Time.Advance(StaticMembershipSource.SettleTime);
        }

        public void ChangeWithoutWaiting(Dictionary<string, string?> settings)
        {
            _settings.Set(settings);
            try
            {
                _settings.Reload();
            }
            catch (AggregateException)
            {
                // The monitor of the options throws at whoever reloads invalid ones; for a file that is its watcher.
            }
        }

        public ValueTask DisposeAsync() => Services.DisposeAsync();
    }

    private sealed class ChangingConfiguration : ConfigurationProvider, IConfigurationSource
    {
        public void Set(Dictionary<string, string?> settings) => Data = settings;

        public void Reload() => OnReload();

        public IConfigurationProvider Build(IConfigurationBuilder builder) => this;
    }
}
