using Peerd.Node.Telemetry;

namespace Peerd.Tests.Telemetry;

public sealed class TelemetryOptionsTests
{
    [Theory]
    [InlineData("", "grpc", "0.05", "60s")]
    [InlineData("http://127.0.0.1:4317", "grpc", "0", "0s")]
    [InlineData("https://collector.example/", "http", "1", "1h")]
    [InlineData("http://[::1]:4318", "http", "0.5", "1s")]
    public void Validate_Allowed_Succeeds(string endpoint, string protocol, string ratio, string interval) =>
        Assert.True(Validate(endpoint, protocol, ratio, interval).Succeeded);

    [Theory]
    [InlineData("collector:4317", "grpc", "0.05", "60s", "OtlpEndpoint")]
    [InlineData("ftp://collector:4317", "grpc", "0.05", "60s", "OtlpEndpoint")]
    [InlineData("http://collector:4318/v1/traces", "http", "0.05", "60s", "OtlpEndpoint")]
    [InlineData("http://collector:4318?key=a", "http", "0.05", "60s", "OtlpEndpoint")]
    [InlineData("http://collector:4317", "udp", "0.05", "60s", "OtlpProtocol")]
    [InlineData("http://collector:4317", "grpc", "5", "60s", "SamplingRatio")]
    [InlineData("http://collector:4317", "grpc", "-1", "60s", "SamplingRatio")]
    [InlineData("http://collector:4317", "grpc", "NaN", "60s", "SamplingRatio")]
    [InlineData("http://collector:4317", "grpc", "0.05", "2d", "MetricsInterval")]
    [InlineData("http://collector:4317", "grpc", "0.05", "soon", "MetricsInterval")]
    public void Validate_NotAllowed_NamesTheKey(string endpoint, string protocol, string ratio, string interval, string key) =>
        Assert.StartsWith($"Peerd:Telemetry:{key} is", Assert.Single(Validate(endpoint, protocol, ratio, interval).Failures!), StringComparison.Ordinal);

    // A password in a URL must not get into a log.
    [Fact]
    public void Validate_UserInTheEndpoint_IsRefusedAndNotShown() =>
        Assert.DoesNotContain("S3cret", Assert.Single(Validate("http://me:S3cret@collector:4317", "grpc", "1", "60s").Failures!), StringComparison.Ordinal);

    private static Microsoft.Extensions.Options.ValidateOptionsResult Validate(string endpoint, string protocol, string ratio, string interval) => new TelemetryOptionsValidator().Validate(
        null, new TelemetryOptions { OtlpEndpoint = endpoint, OtlpProtocol = protocol, SamplingRatio = ratio, MetricsInterval = interval });
}
