using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

public sealed class OptionsValidatorTests
{
    [Fact]
    public void Validate_GoodLists_AreAccepted()
    {
        var validator = new MembershipOptionsValidator();

        Assert.True(validator.Validate(null, new MembershipOptions()).Succeeded);
        Assert.True(validator.Validate(null, new MembershipOptions
        {
            Members =
            [
                new() { Name = "a", Address = "10.0.0.1:30001", Zone = "zone-1" },
                new() { Name = "B_2.example", Address = "[fd00::1]:30001" },
                new() { Name = "c", Address = "10.0.0.1:30002" },
            ],
        }).Succeeded);
    }

    [Fact]
    public void Validate_ManyFaults_AreAllToldWithKeyAndValue()
    {
        var result = new MembershipOptionsValidator().Validate(null, new MembershipOptions
        {
            Source = "consul",
            Members =
            [
                new() { Name = "a", Address = "10.0.0.1:30001" },
                new() { Name = "a", Address = "10.0.0.1:30001" },
                new() { Name = "b c", Address = "nowhere", Zone = "z\n" },
                new(),
            ],
        });

        Assert.Collection(
            result.Failures!,
            error => Assert.StartsWith("Peerd:Membership:Source is 'consul'; allowed: static or kubernetes", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:1:Name is 'a'", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:1:Address is '10.0.0.1:30001'", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:2:Name is 'b c'; allowed: 1 to 253", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:2:Address is 'nowhere'; allowed: host:port", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:2:Zone is 'z", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:3:Name is ''", error, StringComparison.Ordinal),
            error => Assert.StartsWith("Peerd:Membership:Members:3:Address is ''", error, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("pool", true)]
    [InlineData("!pool", true)]
    [InlineData("a=b,kubernetes.io/os=linux,type!=virtual-kubelet", true)]
    [InlineData("a==b, gpu=,cores > 4", true)]
    [InlineData("pool in (a, b),zone notin (c)", true)]
    [InlineData("a.b/pool=a", true)]
    [InlineData("a..b/pool=a", false)]
    [InlineData("pool in a", false)]
    [InlineData("pool in (a", false)]
    [InlineData("pool = a b", false)]
    [InlineData("pool=a,", false)]
    [InlineData("pool=-a", false)]
    [InlineData("Pool/x/y=a", false)]
    [InlineData("pool=a;b", false)]
    public void Validate_Selector_IsOneOfTheApiServer(string selector, bool isGood)
    {
        var result = new MembershipOptionsValidator().Validate(null, new MembershipOptions { Selector = selector });

        Assert.Equal(isGood, result.Succeeded);
        Assert.All(result.Failures ?? [], error => Assert.StartsWith($"Peerd:Membership:Selector is '{selector}'; allowed: empty, or a label selector", error, StringComparison.Ordinal));
    }

    [Fact]
    public void Validate_NodeOptions_TellsAllFaults()
    {
        var validator = new NodeOptionsValidator();

        Assert.True(validator.Validate(null, new NodeOptions { Name = new string('a', 253), Zone = "z" }).Succeeded);
        Assert.Equal(2, validator.Validate(null, new NodeOptions { Name = "", Zone = "a b" }).Failures!.Count());
        Assert.False(validator.Validate(null, new NodeOptions { Name = new string('a', 254) }).Succeeded);
    }

    [Fact]
    public void NodeIdentity_LaterStart_HasAGreaterIncarnation()
    {
        var time = new FakeTimeProvider(DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_123));
        var options = new NodeOptions { Name = "a", Zone = "z" };

        Assert.Equal(new NodeIdentity("a", 1_700_000_000_123, "z"), NodeIdentity.Create(options, time));
        Assert.Equal(Environment.MachineName.ToLowerInvariant(), new NodeOptions().Name);
    }
}
