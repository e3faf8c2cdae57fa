using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Peerd.Tests.Cli.Doctor;

/// <summary>A server that stands for the facade, or for another program at its port.</summary>
internal static class StandInFacade
{
    /// <summary>Starts one that answers as the facade does.</summary>
    public static Task<WebApplication> StartAsync() => StartAsync(AnswerAsync);

    /// <summary>Starts one that answers so.</summary>
    public static async Task<WebApplication> StartAsync(RequestDelegate answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, 0));
        var server = builder.Build();
        server.Run(answer);
        await server.StartAsync();
        return server;
    }

    /// <summary>Answers as the facade does.</summary>
    public static Task AnswerAsync(HttpContext context)
    {
        context.Response.Headers["Docker-Distribution-Api-Version"] = "registry/2.0";
        context.Response.Headers["X-Request-Id"] = context.Request.Headers["X-Request-Id"];
        return context.Response.WriteAsync("{}");
    }
}
