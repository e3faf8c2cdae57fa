using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Peerd.Node.Cli;

/// <summary>
/// Prints the answer of a command: tables at a terminal, tab-separated lines when the output is redirected, and one
/// object per command for programs.
/// </summary>
internal sealed class Report(TextWriter output, bool isTerminal)
{
    /// <summary>Marks the heading of a column whose cells stand at the right.</summary>
    public const char Number = '#';

    /// <summary>A report to where the command's output goes.</summary>
    public static Report For(InvocationConfiguration console) =>
        new(console.Output, ReferenceEquals(console.Output, Console.Out) && !Console.IsOutputRedirected);

    /// <summary>One JSON object on one line.</summary>
    public void Json<T>(T value, JsonTypeInfo<T> type) => output.WriteLine(JsonSerializer.Serialize(value, type));

    /// <summary>Names with their values.</summary>
    public void Facts(params ReadOnlySpan<(string Name, string Value)> facts)
    {
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(3)).AddColumn();
        foreach (var (name, value) in facts)
        {
            if (isTerminal)
            {
                grid.AddRow(new Text(name, Color.Grey), new Text(value));
            }
            else
            {
                output.WriteLine($"{name}\t{value}");
            }
        }

        if (isTerminal)
        {
            Render(grid);
        }
    }

    /// <summary>Where the report goes.</summary>
    public TextWriter Output => output;

    /// <summary>True when people look at it.</summary>
    public bool IsTerminal => isTerminal;

    /// <summary>For what moves on the screen.</summary>
    public IAnsiConsole CreateConsole() => AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });

    /// <summary>A line of text.</summary>
    public void Line(string text) => output.WriteLine(text);

    /// <summary>Rows under a line of headings.</summary>
    /// <param name="headings">The headings; those of columns with numbers end in <see cref="Number"/>, which is not shown.</param>
    /// <param name="rows">A cell for each heading.</param>
    public void Table(string[] headings, IEnumerable<string[]> rows)
    {
        if (!isTerminal)
        {
            foreach (var row in rows.Prepend([.. headings.Select(heading => heading.TrimEnd(Number))]))
            {
                output.WriteLine(string.Join('\t', row));
            }

            return;
        }

        var table = new Table { Border = TableBorder.Rounded };
        foreach (var heading in headings)
        {
            table.AddColumn(new TableColumn(new Text(heading.TrimEnd(Number), Color.Grey)) { Alignment = heading.EndsWith(Number) ? Justify.Right : Justify.Left });
        }

        foreach (var row in rows)
        {
            // Text, not markup: names come from the network.
            table.AddRow(row.Select(cell => new Text(cell)));
        }

        Render(table);
    }

    private void Render(IRenderable content) => CreateConsole().Write(content);
}
