using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Peerd.Node.Facade;

namespace Peerd.Tests.Facade;

public sealed class FacadeOptionsTests
{
    [Fact]
    public void Value_WithoutSettings_IsValid() => Assert.Equal("docker.io", Read([]).DefaultRegistry);

    [Theory]
    [InlineData("DefaultRegistry", "https://docker.io")]
    [InlineData("DefaultRegistry", "")]
    [InlineData("AnswerTimeout", "00:00:00")]
    [InlineData("RequestHeadersTimeout", "01:00:00")]
    [InlineData("MaxConnections", "0")]
    public void Value_OutOfRange_NamesTheKey(string key, string value)
    {
        var e = Assert.Throws<OptionsValidationException>(() => Read(new() { ["Peerd:Facade:" + key] = value }));

        Assert.Contains(e.Failures, f => f.Contains(key, StringComparison.Ordinal));
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
