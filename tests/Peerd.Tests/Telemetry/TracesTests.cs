using System.Diagnostics;
using Peerd.Node.Telemetry;

namespace Peerd.Tests.Telemetry;

public sealed class TracesTests
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Span = "b7ad6b7169203331";

    [Theory]
    [InlineData("")]
    [InlineData("00")]
    [InlineData("nonsense, which is exactly fifty-five characters long..")]
    [InlineData($"00-{Trace}-{Span}-01-more")]
    [InlineData($"01-{Trace}-{Span}-01")]
    [InlineData($"ff-{Trace}-{Span}-01")]
    [InlineData("00-00000000000000000000000000000000-b7ad6b7169203331-01")]
    [InlineData("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")]
    [InlineData("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01")]
    [InlineData($"00-{Trace}-{Span}-0x")]
    [InlineData($"00_{Trace}_{Span}_01")]
    public void Serve_NoTraceparent_IsNoSpan(string traceparent)
    {
        using var spans = new RecordedSpans();

        Assert.Null(Traces.Serve("serve", traceparent));
        Assert.Null(Traces.ServeAside("serve", new string('0', 1 << 20)));
    }

    [Fact]
    public void Serve_ATraceThatIsNotRecorded_IsNoSpan()
    {
        using var spans = new RecordedSpans();

        Assert.Null(Traces.Serve("serve", $"00-{spans.Trace}-{spans.Client}-00"));
    }

    [Fact]
    public void Serve_ATrace_IsPartOfIt()
    {
        using var spans = new RecordedSpans();

        using (var span = Traces.Serve("serve", spans.Traceparent))
        {
            Assert.Equal((spans.Trace, spans.Client, ActivityKind.Server), (span!.TraceId, span.ParentSpanId, span.Kind));
            Assert.Equal($"00-{spans.Trace}-{span.SpanId}-01", Traces.TraceparentOf(span));
            using var step = Traces.Step("step", ActivityKind.Client);
            Assert.Equal(span.SpanId, step!.ParentSpanId);
        }

        Assert.Equal(["step", "serve"], spans.All.Select(ended => ended.OperationName));
    }

    [Fact]
    public void Step_OfNothing_IsNoSpan()
    {
        using var spans = new RecordedSpans();

        Assert.Null(Traces.Step("step", ActivityKind.Client));
        Assert.Null(Traces.Aside("step", ActivityKind.Client, default));
        Assert.Empty(Traces.TraceparentOf(Activity.Current));
    }

    [Fact]
    public void Aside_BegunAndEnded_LeavesAloneWhatIsTracedHere()
    {
        using var spans = new RecordedSpans();
        using var span = Traces.Begin("request", spans.Traceparent);

        var aside = Traces.Aside("aside", ActivityKind.Internal, Traces.Current);
        Assert.Same(span, Activity.Current);
        Traces.End(aside);
        Traces.End(aside);

        Assert.Same(span, Activity.Current);
        Assert.Equal(span!.SpanId, Assert.Single(spans.All).ParentSpanId);
    }
}
