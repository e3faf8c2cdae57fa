using Peerd.Node.Hosting;
using Peerd.Node.Hosting.Events;

namespace Peerd.Tests.Hosting.Events;

public sealed class EventOptionsTests
{
    [Theory]
    [InlineData("", "", null)]
    [InlineData("peerd-x7k2p", "peerd-ns", null)]
    [InlineData("peerd-x7k2p", "", "Peerd:Events:Namespace")]
    [InlineData("../secrets", "peerd-ns", "Peerd:Events:Pod")]
    [InlineData("peerd", "a/../b", "Peerd:Events:Namespace")]
    [InlineData("..", "peerd-ns", "Peerd:Events:Pod")]
    [InlineData("Peerd", "peerd-ns", "Peerd:Events:Pod")]
    public void Validate_Names_AreThoseOfKubernetes(string pod, string ns, string? fault)
    {
        var result = new EventOptionsValidator().Validate(null, new EventOptions { Pod = pod, Namespace = ns });

        Assert.Equal(fault is null, result.Succeeded);
        Assert.True(fault is null || Assert.Single(result.Failures!).StartsWith(fault, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("1s", true)]
    [InlineData("10m", true)]
    [InlineData("0s", false)]
    [InlineData("11m", false)]
    [InlineData("soon", false)]
    public void Validate_DrainTime_IsWithinItsBounds(string time, bool expected) =>
        Assert.Equal(expected, new HandoverOptionsValidator().Validate(null, new HandoverOptions { DrainTime = time }).Succeeded);
}
