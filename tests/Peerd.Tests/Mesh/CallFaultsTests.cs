using System.Net;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;
using RpcMethod = Grpc.Core.Method<byte[], byte[]>;

namespace Peerd.Tests.Mesh;

/// <summary>Calls that end without an answer, and what the log has of them.</summary>
public sealed class CallFaultsTests
{
    private static readonly Marshaller<byte[]> Bytes = Marshallers.Create<byte[]>(it => it, it => it);

    [Theory]
    [InlineData("peerd.v1.NodeService", "GetRing", MethodType.Unary)]
    [InlineData("grpc.health.v1.Health", "Check", MethodType.Unary)]
    [InlineData("grpc.health.v1.Health", "Watch", MethodType.ServerStreaming)]
    [InlineData("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", MethodType.DuplexStreaming)]
    [InlineData("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", MethodType.DuplexStreaming)]
    [InlineData("peerd.v1.PeerService", "Announce", MethodType.DuplexStreaming)]
    [InlineData("peerd.v1.PeerService", "Lookup", MethodType.DuplexStreaming)]
    [InlineData("peerd.v1.PeerService", "FetchRange", MethodType.DuplexStreaming)]
    public async Task Call_BytesThatAreNoMessage_AreNoErrorOfThisNode(string service, string method, MethodType type)
    {
        await using var mesh = await TestMesh.StartAsync();

        foreach (var bytes in new byte[][] { [0xff, 0xff, 0xff], [0x0a, 5, 1], [0x0b, 0x0b, 0x0b] })
        {
            using var call = mesh.Node.Channel.CreateCallInvoker().AsyncDuplexStreamingCall(new RpcMethod(type == MethodType.Unary ? MethodType.DuplexStreaming : type, service, method, Bytes, Bytes), host: null, default);
            await Record.ExceptionAsync(() => call.RequestStream.WriteAsync(bytes));
            await Record.ExceptionAsync(call.RequestStream.CompleteAsync);
            await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None));
        }

        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Level >= LogLevel.Warning && !record.Message.StartsWith("The mesh speaks in clear text", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Call_AFaultOfThisNode_IsLoggedOnceInAWhile()
    {
        var handler = new Faulty();
        var time = new FakeTimeProvider();
        await using var mesh = await TestMesh.StartAsync(customize: services => services
            .AddSingleton<IAnnounceHandler>(handler)
            .AddSingleton(provider => new CallFaults(time, provider.GetRequiredService<ILogger<CallFaults>>())));
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(StatusCode.Unknown, await AnnounceAsync());
        }

        var logged = Assert.Single(Errors());
        Assert.Contains("/peerd.v1.PeerService/Announce", logged.Message, StringComparison.Ordinal);
        Assert.Same(handler.Fault, logged.Exception);

        time.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(StatusCode.Unknown, await AnnounceAsync());
        Assert.Equal(2, Errors().Count);

        List<FakeLogRecord> Errors() => [.. mesh.Node.Logs.GetSnapshot().Where(record => record.Level >= LogLevel.Error)];

        async Task<StatusCode> AnnounceAsync()
        {
            using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce();
            await call.RequestStream.WriteAsync(new AnnounceRequest { Sequence = 1, Member = new Member { Node = "x", Incarnation = 1 } });
            return (await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None))).StatusCode;
        }
    }

    [Theory]
    [InlineData(typeof(IOException))]
    [InlineData(typeof(InvalidDataException))]
    public async Task Call_TheDiskFailsWhileItIsAnswered_IsAFaultOfThisNode(Type fault)
    {
        await using var mesh = await TestMesh.StartAsync(customize: services => services
            .AddSingleton(new BrokenDisk((Exception)Activator.CreateInstance(fault)!))
            .Configure<GrpcServiceOptions>(grpc => grpc.Interceptors.Add<BrokenDisk>()));

        var answer = await Assert.ThrowsAsync<RpcException>(async () => await new NodeService.NodeServiceClient(mesh.Node.Channel).GetStatusAsync(new GetStatusRequest()));

        Assert.Equal(StatusCode.Unknown, answer.StatusCode);
        var logged = Assert.Single(mesh.Node.Logs.GetSnapshot(), record => record.Level >= LogLevel.Error);
        Assert.Contains("/peerd.v1.NodeService/GetStatus", logged.Message, StringComparison.Ordinal);
        Assert.IsType(fault, logged.Exception);
    }

    /// <summary>Comes between the call and what answers it.</summary>
    private sealed class BrokenDisk(Exception fault) : Interceptor
    {
        public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation) => throw fault;
    }

    private sealed class Faulty : IAnnounceHandler
    {
        public InvalidOperationException Fault { get; } = new("broken");

        public IAnnounceSession? Open(Member member, IPAddress? from) => throw Fault;
    }
}
