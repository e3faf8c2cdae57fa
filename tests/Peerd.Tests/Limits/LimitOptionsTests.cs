using Peerd.Node.Limits;

namespace Peerd.Tests.Limits;

public sealed class LimitOptionsTests
{
    [Fact]
    public void Validate_Defaults_AreGoodAndLimitNoBandwidth()
    {
        var options = new LimitOptions();

        Assert.True(new LimitOptionsValidator().Validate(null, options).Succeeded);
        Assert.Equal((0L, 0L, 0L, 192L << 20), (options.UploadValue, options.DownloadValue, options.OriginValue, options.MemoryValue));
    }

    [Fact]
    public void Validate_Amounts_AreTaken()
    {
        var options = new LimitOptions { Upload = "64KiB", Download = "12500000", Origin = "0", Memory = "16MiB" };

        Assert.True(new LimitOptionsValidator().Validate(null, options).Succeeded);
        Assert.Equal((65536L, 12_500_000L, 0L, 16L << 20), (options.UploadValue, options.DownloadValue, options.OriginValue, options.MemoryValue));
    }

    [Fact]
    public void Validate_AllWrong_NamesEachKeyAndValue()
    {
        var options = new LimitOptions
        {
            Upload = "1KiB",
            Download = "fast",
            Origin = "-1",
            Memory = "1MiB",
            Requests = "-1",
            RequestsPerConnection = "x",
            MeshConnections = "0",
            MeshConnectionsPerAddress = "0",
            StreamsPerConnection = "1",
            MetricsConnections = "70000",
        };
        const string Rate = "; allowed: 0 for no limit, or a size of 64KiB (a second) or more, such as 100MiB or 12500000 (bytes)";

        Assert.Equal(
            [
                "Peerd:Limits:Upload is '1KiB'" + Rate,
                "Peerd:Limits:Download is 'fast'" + Rate,
                "Peerd:Limits:Origin is '-1'" + Rate,
                "Peerd:Limits:Memory is '1MiB'; allowed: 0 for no limit, or a size of 16MiB or more, such as 100MiB or 12500000 (bytes)",
                "Peerd:Limits:Requests is '-1'; allowed: a whole number from 0 to 65536",
                "Peerd:Limits:RequestsPerConnection is 'x'; allowed: a whole number from 0 to 1000000",
                "Peerd:Limits:MeshConnections is '0'; allowed: a whole number from 1 to 65536",
                "Peerd:Limits:MeshConnectionsPerAddress is '0'; allowed: a whole number from 1 to 65536",
                "Peerd:Limits:StreamsPerConnection is '1'; allowed: a whole number from 16 to 4096",
                "Peerd:Limits:MetricsConnections is '70000'; allowed: a whole number from 4 to 65536",
            ],
            new LimitOptionsValidator().Validate(null, options).Failures);
    }
}
