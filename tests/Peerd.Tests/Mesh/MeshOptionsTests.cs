using Peerd.Node.Mesh;

namespace Peerd.Tests.Mesh;

public sealed class MeshOptionsTests
{
    [Fact]
    public void Validate_Defaults_AreGood()
    {
        var options = new MeshOptions();

        Assert.True(new MeshOptionsValidator().Validate(null, options).Succeeded);
        Assert.Equal(
            ("0.0.0.0:30001", 64, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(1)),
            (options.Listen, options.UploadsValue, options.ConnectTimeoutValue, options.IdleTimeoutValue, options.RangeDeadlineValue));
    }

    [Fact]
    public void Validate_AllWrong_NamesEachKeyAndValue()
    {
        var options = new MeshOptions { Listen = "127.0.0.1", Uploads = "many", ConnectTimeout = "0s", IdleTimeout = "soon", RangeDeadline = "61m" };

        Assert.Equal(
            [
                "Peerd:Mesh:Listen is '127.0.0.1'; allowed: an IP address and a port, such as 127.0.0.1:30000 or [::1]:30000",
                "Peerd:Mesh:Uploads is 'many'; allowed: a whole number from 1 to 1024",
                "Peerd:Mesh:ConnectTimeout is '0s'; allowed: a duration from 10ms to 1h, such as 500ms, 30s or 2m",
                "Peerd:Mesh:IdleTimeout is 'soon'; allowed: a duration from 10ms to 1h, such as 500ms, 30s or 2m",
                "Peerd:Mesh:RangeDeadline is '61m'; allowed: a duration from 10ms to 1h, such as 500ms, 30s or 2m",
            ],
            new MeshOptionsValidator().Validate(null, options).Failures);
    }
}
