using System.CommandLine;

namespace Peerd.Benchmarks.Measuring;

/// <summary>Options that take several values with commas between.</summary>
internal static class ListOption
{
    /// <summary>An option whose items must all be right.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="description">What it is for.</param>
    /// <param name="byDefault">The list when it is not given.</param>
    /// <param name="isRight">Whether an item is.</param>
    /// <param name="allowed">What is allowed, for people.</param>
    public static Option<string> Create(string name, string description, string byDefault, Predicate<string> isRight, string allowed)
    {
        var option = new Option<string>(name) { Description = description, HelpName = "list", DefaultValueFactory = _ => byDefault };
        option.Validators.Add(result =>
        {
            var items = Items(result.GetValueOrDefault<string>());
            if (items.Length == 0 || !Array.TrueForAll(items, isRight))
            {
                result.AddError($"{option.Name} is '{result.GetValueOrDefault<string>()}'; allowed: {allowed}, with commas between");
            }
        });
        return option;
    }

    /// <summary>An option that takes some of the names of an enumeration.</summary>
    public static Option<string> OfNames<T>(string name, string description, string byDefault)
        where T : struct, Enum
    {
        var names = string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant();
        return Create(name, $"{description}, of {names}.", byDefault, item => !int.TryParse(item, out _) && Enum.TryParse<T>(item, ignoreCase: true, out _), names);
    }

    /// <summary>An option that takes whole numbers.</summary>
    public static Option<string> OfNumbers(string name, string description, string byDefault, int most) =>
        Create(name, description, byDefault, item => int.TryParse(item, out var number) && number >= 1 && number <= most, $"numbers from 1 to {most}");

    /// <summary>The items of a list.</summary>
    public static string[] Items(string? list) => (list ?? string.Empty).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
