using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class OriginOptionsTests
{
    [Fact]
    public void Bind_Nothing_HasTheDefaults()
    {
        var settings = OriginSettings.From(Bind());
        Assert.Equal(OriginOptions.DefaultRegistries.Order(), settings.Registries.Keys.Order());
        Assert.Equal("https://registry-1.docker.io/", settings.Registries["docker.io"].Address.AbsoluteUri);
        Assert.Equal("https://ghcr.io/", settings.Registries["ghcr.io"].Address.AbsoluteUri);
        Assert.Equal(
            (TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(15), 3, 5, 16),
            (settings.ConnectTimeout, settings.HeaderTimeout, settings.IdleTimeout, settings.Retries, settings.MaxRedirects, settings.MaxConcurrentRequests));
        Assert.Equal((200, TimeSpan.FromSeconds(5)), (settings.RequestsPerSecond, settings.NotFoundFor));
    }

    [Fact]
    public void Bind_Registries_ReplaceTheDefault()
    {
        var settings = OriginSettings.From(Bind(
            ("Registries:0:Name", "docker.io"),
            ("Registries:1:Name", "reg.example:5000"),
            ("Registries:1:Endpoint", "http://10.0.0.1:5000/base/"),
            ("HeaderTimeout", "00:00:07")));
        Assert.Equal(["docker.io", "reg.example:5000"], settings.Registries.Keys.Order());
        Assert.Equal(TimeSpan.FromSeconds(7), settings.HeaderTimeout);
        Assert.True(settings.Registries["reg.example:5000"].TryLocate(new OriginReference("reg.example:5000", "a/b", OriginKind.Manifest, "v1"), out var url));
        Assert.Equal("http://10.0.0.1:5000/base/v2/a/b/manifests/v1", url.AbsoluteUri);
    }

    [Fact]
    public void Bind_NotFoundForNoTime_IsAllowed() => Assert.Equal(TimeSpan.Zero, OriginSettings.From(Bind(("NotFoundFor", "0s"))).NotFoundFor);

    [Theory]
    [InlineData("RequestsPerSecond", "10001", "a whole number from 1 to 10000")]
    [InlineData("RequestsPerSecond", "-1", "a whole number from 1 to 10000")]
    [InlineData("RequestsPerSecond", "0.5", "a whole number from 1 to 10000")]
    [InlineData("NotFoundFor", "0", "a duration from 0s to 1m")]
    [InlineData("NotFoundFor", "-5s", "a duration from 0s to 1m")]
    public void TryCreate_BadLimit_TellsWhatIsAllowed(string key, string value, string allowed)
    {
        Assert.False(OriginSettings.TryCreate(Bind((key, value)), out _, out var errors));

        Assert.StartsWith($"Peerd:Origin:{key} is '{value}'; allowed: {allowed}", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public void TryCreate_BadValues_NamesEachKeyValueAndWhatIsAllowed()
    {
        var options = Bind(
            ("ConnectTimeout", "5"),
            ("HeaderTimeout", "-1s"),
            ("IdleTimeout", "3h"),
            ("Retries", "many"),
            ("RetryDelay", ""),
            ("MaxRedirects", "21"),
            ("MaxConcurrentRequests", "0"),
            ("RequestsPerSecond", "0"),
            ("NotFoundFor", "61s"),
            ("Registries:0:Name", "https://docker.io"),
            ("Registries:1:Name", "a.test"),
            ("Registries:1:Endpoint", "https://user:secret@a.test"),
            ("Registries:2:Name", "b.test"),
            ("Registries:2:Endpoint", "b.test"),
            ("Registries:3:Name", "c.test"),
            ("Registries:4:Name", "c.test"));
        Assert.False(OriginSettings.TryCreate(options, out _, out var errors));

        Assert.Equal(13, errors.Count);
        Assert.All(errors, error => Assert.Matches(@"\APeerd:Origin:[A-Za-z0-9:]+ is '[^\r\n]*'; allowed: [^\r\n]+\z", error));
        Assert.Contains(errors, error => error.StartsWith("Peerd:Origin:Retries is 'many'; allowed: a whole number from 0 to 10", StringComparison.Ordinal));
        Assert.Contains(errors, error => error.StartsWith("Peerd:Origin:Registries:4:Name is 'c.test'", StringComparison.Ordinal));
        Assert.DoesNotContain(errors, error => error.Contains("secret", StringComparison.Ordinal));
    }

    [Fact]
    public void AddOrigin_BadValue_StopsAtStart()
    {
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddOrigin(Configuration([("Retries", "x")]));
        using var provider = services.BuildServiceProvider();
        var thrown = Assert.Throws<OptionsValidationException>(() => provider.GetRequiredService<IStartupValidator>().Validate());
        Assert.Contains("Peerd:Origin:Retries is 'x'", thrown.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("docker.io")]
    [InlineData("localhost")]
    [InlineData("localhost:5000")]
    [InlineData("10.0.0.1:80")]
    [InlineData("[::1]:5000")]
    [InlineData("[fd00::1]")]
    [InlineData("a-b.c1.example:65535")]
    public void IsValid_RegistryName_True(string name) => Assert.True(RegistryName.IsValid(name));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("Docker.io")]
    [InlineData("docker.io/")]
    [InlineData("docker.io/library")]
    [InlineData("https://docker.io")]
    [InlineData("user@docker.io")]
    [InlineData("docker.io:0")]
    [InlineData("docker.io:080")]
    [InlineData("docker.io:65536")]
    [InlineData("docker.io:")]
    [InlineData("docker.io:80:80")]
    [InlineData("docker..io")]
    [InlineData(".docker.io")]
    [InlineData("docker.io.")]
    [InlineData("-a.test")]
    [InlineData("a_b.test")]
    [InlineData("a.test\n")]
    [InlineData("a.test\r\nX-Evil: 1")]
    [InlineData("a.test?x")]
    [InlineData("a.test#x")]
    [InlineData("a%2e.test")]
    [InlineData("[::1")]
    [InlineData("[::1]x")]
    [InlineData("[]")]
    [InlineData("[127.0.0.1]")]
    [InlineData("[fe80::1%25eth0]")]
    [InlineData("::1")]
    public void IsValid_NoRegistryName_False(string? name) => Assert.False(RegistryName.IsValid(name));

    [Theory]
    [InlineData("Docker.IO:443", "docker.io:443")]
    [InlineData("[FD00::1]:5000", "[fd00::1]:5000")]
    public void TryParse_Capitals_BecomeLowerCase(string text, string expected)
    {
        Assert.True(RegistryName.TryParse(text, out var registry));
        Assert.Equal(expected, registry);
    }

    [Theory]
    [InlineData("\u212Aube.example")]
    [InlineData("r\u00e9g.example")]
    public void TryParse_LettersOutsideAscii_AreRefused(string text) => Assert.False(RegistryName.TryParse(text, out _));

    [Fact]
    public void IsValid_TooLong_False() => Assert.False(RegistryName.IsValid(string.Join('.', Enumerable.Repeat("abcdefgh", 40))));

    private static OriginOptions Bind(params (string Key, string Value)[] values)
    {
        var services = new ServiceCollection();
        services.AddOrigin(Configuration(values));

        // Without its validation, to see what was bound.
        foreach (var validator in services.Where(service => service.ServiceType == typeof(IValidateOptions<OriginOptions>)).ToList())
        {
            services.Remove(validator);
        }

        using var provider = services.BuildServiceProvider();
        return provider.GetRequiredService<IOptions<OriginOptions>>().Value;
    }

    private static IConfiguration Configuration((string Key, string Value)[] values) => new ConfigurationBuilder()
        .AddInMemoryCollection(values.ToDictionary(pair => $"Peerd:Origin:{pair.Key}", pair => (string?)pair.Value))
        .Build();
}
