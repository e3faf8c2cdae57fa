using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class LogOptionsTests
{
    private static readonly LogOptionsValidator Validator = new();

    [Theory]
    [InlineData("utc")]
    [InlineData("none")]
    public void Validate_ATimeThatThereIs_IsTaken(string time) => Assert.True(Validator.Validate(name: null, new LogOptions { Time = time }).Succeeded);

    [Theory]
    [InlineData("local")]
    [InlineData("")]
    [InlineData("UTC+1")]
    public void Validate_AnotherTime_IsRefusedWithWhatIsAllowed(string time) =>
        Assert.Equal([$"Peerd:Log:Time is '{time}'; allowed: utc, none"], Validator.Validate(name: null, new LogOptions { Time = time }).Failures);
}
