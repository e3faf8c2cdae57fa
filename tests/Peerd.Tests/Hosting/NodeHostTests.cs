using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class NodeHostTests
{
    [Fact]
    public void Create_FaultsInSeveralSections_TellsAll()
    {
        var thrown = Assert.Throws<AggregateException>(() => NodeHost.Create(["--Peerd:Mesh:Uploads=x", "--Peerd:Metrics:Listen=127.0.0.1", "--Peerd:Cache:Capacity=lots"], config: null));

        Assert.Equal(
            ["Peerd:Cache:Capacity", "Peerd:Mesh:Uploads", "Peerd:Metrics:Listen"],
            thrown.InnerExceptions.SelectMany(inner => Assert.IsType<OptionsValidationException>(inner).Failures).Select(failure => failure.Split(' ')[0]).Order(StringComparer.Ordinal));
    }
}
