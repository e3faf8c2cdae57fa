using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
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

    [Theory]
    [InlineData("Debug", LogLevel.Debug, LogLevel.Warning)]
    [InlineData("Information", LogLevel.Information, LogLevel.Warning)]
    [InlineData("Warning", LogLevel.Warning, LogLevel.Warning)]
    [InlineData("Error", LogLevel.Error, LogLevel.Error)]
    [InlineData("Critical", LogLevel.Critical, LogLevel.Critical)]
    public async Task Create_LogLevel_IsNeverLoweredForLibraries(string level, LogLevel own, LogLevel others)
    {
        var folder = Directory.CreateTempSubdirectory("peerd-host-");
        await using (var node = NodeHost.Create([$"--Peerd:Log:Level={level}", $"--Peerd:Cache:Directory={folder.FullName}"], config: null))
        {
            var loggers = node.Services.GetRequiredService<ILoggerFactory>();
            Assert.Equal((own, others, others), (Least(loggers, "Peerd.Node"), Least(loggers, "Microsoft.AspNetCore"), Least(loggers, "Grpc.AspNetCore")));
        }

        folder.Delete(recursive: true);

        static LogLevel Least(ILoggerFactory loggers, string category)
        {
            var logger = loggers.CreateLogger(category);
            return Enum.GetValues<LogLevel>().First(logger.IsEnabled);
        }
    }
}
