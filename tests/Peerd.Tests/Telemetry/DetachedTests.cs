using System.Diagnostics;
using Peerd.Node.Telemetry;

namespace Peerd.Tests.Telemetry;

/// <summary>What outlives the request that began it carries nothing of that request.</summary>
public sealed class DetachedTests
{
    private static readonly AsyncLocal<string?> Request = new();

    [Fact]
    public async Task Run_InARequest_CarriesNothingOfIt()
    {
        Request.Value = "first";
        using var span = new Activity("request").Start();
        (string?, Activity?, string?) seen = ("", span, "");

        await Detached.Run(async () =>
        {
            var before = (Request.Value, Activity.Current);
            await Task.Yield();
            seen = (before.Value, before.Current, Request.Value);
        });

        Assert.Equal((null, null, null), seen);
        Assert.Equal(("first", span), (Request.Value, Activity.Current));
    }

    // Who completes what is waited for must not pass his own on either.
    [Fact]
    public async Task Run_WokenByARequest_CarriesNothingOfThat()
    {
        var woken = new TaskCompletionSource();
        var waits = new TaskCompletionSource();
        string? seen = "";
        var work = Detached.Run(async () =>
        {
            waits.SetResult();
            await woken.Task;
            seen = Request.Value;
        });
        await waits.Task;
        Request.Value = "second";

        woken.SetResult();
        await work;

        Assert.Null(seen);
    }

    [Fact]
    public async Task Begin_InARequest_GoesOnWithoutIt()
    {
        Request.Value = "first";

        var work = Detached.Begin(async () =>
        {
            await Task.Delay(1);
            return Request.Value;
        });

        Assert.Null(await work);
        Assert.Equal("first", Request.Value);
    }

    [Fact]
    public async Task Run_WithinAnotherThatBegins_IsNoError() => await Detached.Begin(() => Detached.Run(() => Task.CompletedTask));
}
