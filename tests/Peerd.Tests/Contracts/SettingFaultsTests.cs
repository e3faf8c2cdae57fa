using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class SettingFaultsTests
{
    [Fact]
    public void Read_GoodValues_AreRead()
    {
        var faults = new SettingFaults("S");

        Assert.Equal(TimeSpan.FromSeconds(1), faults.ReadDuration("D", "1s", TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)));
        Assert.Equal(7, faults.ReadNumber("N", "7", 7, 7));
        Assert.Equal(new ByteSize(1024), faults.ReadSize("B", "1KiB", new ByteSize(1024), new ByteSize(1024)));
        Assert.Empty(faults.All);
    }

    [Theory]
    [InlineData("6")]
    [InlineData("8")]
    [InlineData("-7")]
    [InlineData("7.0")]
    [InlineData("")]
    [InlineData(null)]
    public void ReadNumber_NotAllowed_IsAFault(string? value)
    {
        var faults = new SettingFaults("S");

        Assert.Equal(0, faults.ReadNumber("N", value, 7, 7));
        Assert.Equal([$"S:N is '{value}'; allowed: a whole number from 7 to 7"], faults.All);
    }

    [Theory]
    [InlineData("999ms")]
    [InlineData("1001ms")]
    [InlineData("1")]
    public void ReadDuration_NotAllowed_IsAFault(string value)
    {
        var faults = new SettingFaults("S");

        faults.ReadDuration("D", value, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        Assert.Equal([$"S:D is '{value}'; allowed: a duration from 1s to 1s, such as 500ms, 30s or 2m"], faults.All);
    }

    [Theory]
    [InlineData("1023")]
    [InlineData("1025")]
    [InlineData("1 apple")]
    public void ReadSize_NotAllowed_IsAFault(string value)
    {
        var faults = new SettingFaults("S");

        faults.ReadSize("B", value, new ByteSize(1024), new ByteSize(1024));
        Assert.Equal([$"S:B is '{value}'; allowed: a size from 1KiB to 1KiB, such as 512MiB, 10GiB or 1000000 (bytes)"], faults.All);
    }

    [Fact]
    public void ReadSize_WithoutMost_HasNoLimitAbove()
    {
        var faults = new SettingFaults("S");

        Assert.Equal(new ByteSize(long.MaxValue), faults.ReadSize("B", "9223372036854775807", new ByteSize(1024)));
        faults.ReadSize("B", "1", new ByteSize(1024));
        Assert.Equal(["S:B is '1'; allowed: a size of 1KiB or more, such as 512MiB, 10GiB or 1000000 (bytes)"], faults.All);
    }

    [Fact]
    public void Add_AnyValue_IsShownOnOneLineAndWithoutSecrets()
    {
        var faults = new SettingFaults("S");
        faults.Add("A", "https://user:secret@host", "x");
        faults.Add("B", "a\r\nb", "x");
        faults.Add("C", new string('c', 1000), "x");

        Assert.Equal(["S:A is '(hidden: contains '@')'; allowed: x", "S:B is 'a  b'; allowed: x", $"S:C is '{new string('c', 200)}…'; allowed: x"], faults.All);
    }
}
