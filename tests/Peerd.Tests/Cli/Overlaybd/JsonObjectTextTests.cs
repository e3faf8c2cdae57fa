using System.Text;
using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Tests.Cli.Overlaybd;

public sealed class JsonObjectTextTests
{
    [Theory]
    [InlineData("", "is not JSON")]
    [InlineData("  ", "is not JSON")]
    [InlineData("// only a comment", "is not JSON")]
    [InlineData("{", "is not JSON")]
    [InlineData("{} x", "is not JSON")]
    [InlineData("{}{}", "is not JSON")]
    [InlineData("{\"a\" 1}", "is not JSON")]
    [InlineData("{\"a\": 1,, \"b\": 2}", "is not JSON")]
    [InlineData("{'a': 1}", "is not JSON")]
    [InlineData("{\"a\": \"\\ud800\"}", "is not JSON")]
    [InlineData("{\"\\ud800\": 1}", "is not JSON")]
    [InlineData("[]", "is an array, not an object")]
    [InlineData("\"text\"", "is a string, not an object")]
    [InlineData("1", "is a number, not an object")]
    [InlineData("true", "is true or false, not an object")]
    [InlineData("null", "is null, not an object")]
    [InlineData("\ufeff{}", "begins with a byte order mark")]
    public void Create_NotAnObject_SaysWhy(string text, string expected) =>
        Assert.StartsWith(expected, Assert.Throws<FormatException>(() => Of(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void Create_NotUtf8_SaysWhy() =>
        Assert.Equal("is not JSON: it is not in UTF-8", Assert.Throws<FormatException>(() => new JsonObjectText([.. "{\"a\": \""u8, 0xff, .. "\"}"u8])).Message);

    [Fact]
    public void Create_DeeplyNested_IsRead()
    {
        var depth = JsonObjectText.MaxDepth - 1;
        Assert.NotNull(Of($"{{\"a\": {new string('[', depth)}{new string(']', depth)}}}").Find("a"));
    }

    [Fact]
    public void ValueOf_SameNameTwice_IsTheFirst()
    {
        var text = Of("""{"a": 1, "b": 2, "\u0061": 3}""");

        Assert.Equal(("1", 2), (text.ValueOf("a"), text.Count("a")));
        Assert.Null(text.ValueOf("c"));
    }

    [Theory]
    [InlineData("{}", """{"new": 0}""")]
    [InlineData(" { } \n", """ {"new": 0 } """ + "\n")]
    [InlineData("{\n}", "{\n    \"new\": 0\n}")]
    [InlineData("{\r\n}", "{\r\n    \"new\": 0\r\n}")]
    [InlineData("{ /* c */ }", "{\"new\": 0 /* c */ }")]
    [InlineData("{ // c\n}", "{\n    \"new\": 0 // c\n}")]
    [InlineData("""{"a":1}""", """{"a":1,"new":0}""")]
    [InlineData("""{"a": 1}""", """{"a": 1, "new": 0}""")]
    [InlineData("""{"a" : 1}""", """{"a" : 1, "new" : 0}""")]
    [InlineData("""{ "a":1,"b":2 }""", """{ "a":1,"b":2,"new":0 }""")]
    [InlineData("{\n\t\"a\": 1\n}", "{\n\t\"a\": 1,\n\t\"new\": 0\n}")]
    [InlineData("{\r\n  \"a\": 1\r\n}", "{\r\n  \"a\": 1,\r\n  \"new\": 0\r\n}")]
    [InlineData("{\n  \"a\": 1,\n\n\n  \"b\": 2,\n}", "{\n  \"a\": 1,\n\n\n  \"b\": 2,\n  \"new\": 0,\n}")]
    [InlineData("{\n  \"a\": 1 // c\n}", "{\n  \"a\": 1,\n  \"new\": 0 // c\n}")]
    public void With_NewName_IsSetLikeTheOthersAndUndone(string before, string after)
    {
        var with = Of(before).With("new", "0");

        Assert.Equal(after, Encoding.UTF8.GetString(with.Bytes.Span));
        Assert.Equal(before, Encoding.UTF8.GetString(with.Without("new").Bytes.Span));
    }

    [Fact]
    public void With_KnownName_ReplacesTheFirstValueOnly() =>
        Assert.Equal("""{ "a" : 7 , "a": 2}""", Encoding.UTF8.GetString(Of("""{ "a" : [1, {"a": 1}] , "a": 2}""").With("a", "7").Bytes.Span));

    [Theory]
    [InlineData("""{"a": 1, "b": 2, "c": 3}""", "a", """{"b": 2, "c": 3}""")]
    [InlineData("""{"a": 1, "b": 2, "c": 3}""", "b", """{"a": 1, "c": 3}""")]
    [InlineData("""{"a": 1, "b": 2, "c": 3}""", "c", """{"a": 1, "b": 2}""")]
    [InlineData("""{"a": 1, "b": 2, "c": 3}""", "d", """{"a": 1, "b": 2, "c": 3}""")]
    [InlineData("""{"a": 1, "a": 2}""", "a", """{"a": 2}""")]
    [InlineData("""{ "a": 1 , }""", "a", "{  }")]
    [InlineData("{ \"a\": 1 /* , */ // ,\n , }", "a", "{ /* , */ // ,\n  }")]
    public void Without_AnyName_LeavesTheOthers(string before, string name, string after) =>
        Assert.Equal(after, Encoding.UTF8.GetString(Of(before).Without(name).Bytes.Span));

    private static JsonObjectText Of(string text) => new(Encoding.UTF8.GetBytes(text));
}
