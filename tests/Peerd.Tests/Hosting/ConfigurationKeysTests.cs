using System.Reflection;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class ConfigurationKeysTests
{
    private static readonly string Document = File.ReadAllText(Path.Combine(LayoutTests.RepositoryRoot(), "docs", "configuration.md"));

    // Options as they are: each class that has a validator.
    private static readonly Type[] OptionsClasses =
    [
        .. typeof(ConfigurationKeys).Assembly.GetTypes()
            .SelectMany(type => type.GetInterfaces())
            .Where(type => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IValidateOptions<>))
            .Select(type => type.GetGenericArguments()[0])
            .Where(type => type.Namespace!.StartsWith("Peerd.", StringComparison.Ordinal))
            .Distinct(),
    ];

    [Fact]
    public void All_TheOptionsClasses_HaveTheseKeysAndNoOthers()
    {
        Assert.True(OptionsClasses.Length >= 8);
        Assert.Equal(
            OptionsClasses.SelectMany(KeysOf).Order(StringComparer.Ordinal),
            ConfigurationKeys.All.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Check_EveryKey_IsTaken() => ConfigurationKeys.Check(Configuration(
        [.. ConfigurationKeys.All.Select(key => ($"Peerd:{key.Replace("*", "0", StringComparison.Ordinal)}", "x")), ("Logging:LogLevel:Default", "x"), ("peerd:cache:CAPACITY", "x")]));

    [Fact]
    public void Check_EmptyLists_AreTaken() => ConfigurationKeys.Check(Configuration(("Peerd:Membership:Members", ""), ("Peerd:Cache", "")));

    [Theory]
    [InlineData("Peerd:Cache:Capasity", "Peerd:Cache:Capasity is not a setting; allowed in Peerd:Cache: Directory, Capacity, Memory")]
    [InlineData("Peerd:Cahce:Capacity", "Peerd:Cahce is not a setting; allowed in Peerd: Node, Facade, Mesh, Metrics, Limits, Membership, Cache, Containerd, Origin, Blobs, Tags, Events, Handover, Log, Telemetry")]
    [InlineData("Peerd:Membership:Members:0:Adress", "Peerd:Membership:Members:0:Adress is not a setting; allowed in Peerd:Membership:Members:0: Name, Address, Zone")]
    [InlineData("Peerd:Membership:Members:Name", "Peerd:Membership:Members:Name is not a setting; allowed in Peerd:Membership:Members: a list, its entries numbered from 0")]
    [InlineData("Peerd:Membership:Members", "Peerd:Membership:Members is a value; allowed: a list, its entries numbered from 0")]
    [InlineData("Peerd:Origin:Registries:0", "Peerd:Origin:Registries:0 is a value; allowed: Name, Endpoint, Auth, TokenServers")]
    [InlineData("Peerd:Cache:Capacity:Max", "Peerd:Cache:Capacity:Max is not a setting; allowed: a value for Peerd:Cache:Capacity")]
    public void Check_AnyOtherKey_IsRefused(string key, string expected)
    {
        var thrown = Assert.Throws<OptionsValidationException>(() => ConfigurationKeys.Check(Configuration((key, "x"))));

        Assert.Equal([expected], thrown.Failures);
    }

    [Fact]
    public void Check_TwoOtherKeys_TellsBoth() =>
        Assert.Equal(2, Assert.Throws<OptionsValidationException>(() => ConfigurationKeys.Check(Configuration(("Peerd:A", "x"), ("Peerd:Log:B", "x")))).Failures.Count());

    [Fact]
    public void Document_Rows_AreTheKeysWithTheirDefaults()
    {
        var rows = Document.Split('\n')
            .Where(line => line.StartsWith("| `", StringComparison.Ordinal))
            .Select(line => line.Split('|', StringSplitOptions.TrimEntries))
            .ToDictionary(cells => cells[1].Trim('`'), cells => cells[2]);

        Assert.Equal(
            ConfigurationKeys.All.Select(key => key.Replace("*", "<n>", StringComparison.Ordinal)).Order(StringComparer.Ordinal),
            rows.Keys.Order(StringComparer.Ordinal));
        foreach (var type in OptionsClasses)
        {
            var options = Activator.CreateInstance(type)!;
            foreach (var property in Settings(type).Where(property => property is { Name: not "Name", PropertyType.Name: nameof(String) }))
            {
                var value = (string?)property.GetValue(options);
                Assert.Equal((property.Name, string.IsNullOrEmpty(value) ? "none" : $"`{value}`"), (property.Name, rows[KeyOf(type, property)]));
            }
        }
    }

    private static IEnumerable<string> KeysOf(Type type) => Settings(type).SelectMany(property =>
        property.PropertyType == typeof(List<string>) ? [$"{KeyOf(type, property)}:*"]
        : property.PropertyType.IsGenericType ? Settings(property.PropertyType.GetGenericArguments()[0]).Select(entry => $"{KeyOf(type, property)}:*:{entry.Name}{(entry.PropertyType == typeof(List<string>) ? ":*" : string.Empty)}")
        : [KeyOf(type, property)]);

    private static IEnumerable<PropertyInfo> Settings(Type type) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(property => property.SetMethod is { IsPublic: true });

    // Of listeners the property is named after the section.
    private static string KeyOf(Type type, PropertyInfo property) => type == typeof(ListenerOptions)
        ? $"{property.Name}:Listen"
        : $"{((string)type.GetField("Section")!.GetRawConstantValue()!)["Peerd:".Length..]}:{property.Name}";

    private static IConfiguration Configuration(params (string Key, string Value)[] values) =>
        new ConfigurationBuilder().AddInMemoryCollection(values.DistinctBy(pair => pair.Key, StringComparer.OrdinalIgnoreCase).ToDictionary(pair => pair.Key, pair => (string?)pair.Value)).Build();
}
