using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Peerd.Node.Facade;

namespace Peerd.Tests.Facade;

public sealed class FacadeOptionsTests
{
    [Fact]
    public void Value_WithoutSettings_IsValid() => Assert.Equal(
        ("docker.io", TimeSpan.FromSeconds(25), TimeSpan.FromSeconds(15), 1024),
        (Read([]).DefaultRegistry, Read([]).AnswerTimeoutValue, Read([]).RequestHeadersTimeoutValue, Read([]).MaxConnectionsValue));

    [Theory]
    [InlineData("DefaultRegistry", "https://docker.io")]
    [InlineData("DefaultRegistry", "")]
    [InlineData("AnswerTimeout", "00:00:00")]
    [InlineData("RequestHeadersTimeout", "01:00:00")]
    [InlineData("AnswerTimeout", "601s")]
    [InlineData("AnswerTimeout", "25")]
    [InlineData("MaxConnections", "0")]
    [InlineData("MaxConnections", "many")]
    public void Value_OutOfRange_NamesTheKey(string key, string value)
    {
        var e = Assert.Throws<OptionsValidationException>(() => Read(new() { ["Peerd:Facade:" + key] = value }));

        Assert.Contains(e.Failures, f => f.StartsWith($"Peerd:Facade:{key} is '{value}'; allowed: ", StringComparison.Ordinal));
    }

    [Fact]
    public void Value_WithTwoErrors_NamesBoth()
    {
        var e = Assert.Throws<OptionsValidationException>(() => Read(new() { ["Peerd:Facade:DefaultRegistry"] = "a@b", ["Peerd:Facade:AnswerTimeout"] = "1.00:00:00" }));

        Assert.Equal(2, e.Failures.Count());
    }

    private static FacadeOptions Read(Dictionary<string, string?> settings)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(settings).Build();
        using var services = new ServiceCollection().AddFacade(configuration).BuildServiceProvider();
        return services.GetRequiredService<IOptions<FacadeOptions>>().Value;
    }
}
