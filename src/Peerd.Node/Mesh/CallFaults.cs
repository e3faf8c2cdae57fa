using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace Peerd.Node.Mesh;

/// <summary>
/// How calls of the mesh listener end that have no answer. What a caller sends that is no message, and that he goes away, is told to him
/// and is no error of this node. Anything else is one, and logged; not each time, for whoever knows how can make it happen as often as he likes. Thread-safe.
/// </summary>
internal sealed partial class CallFaults(TimeProvider time, ILogger<CallFaults> logger) : Interceptor
{
    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);

    private long _logged = long.MinValue;

    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(request, context);
        }
        catch (Exception e) when (e is not RpcException)
        {
            // The message was read before: nothing of the caller is read here.
            throw Fault(e, context, isOfStream: false);
        }
    }

    public override async Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(requestStream, context);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Fault(e, context, isOfStream: true);
        }
    }

    // Its message was read before, too. Yet it counts as a stream: the only such call is that of the health service, which reads nothing more.
    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        EndAsync(() => continuation(request, responseStream, context), context);

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        EndAsync(() => continuation(requestStream, responseStream, context), context);

    private async Task EndAsync(Func<Task> serve, ServerCallContext context)
    {
        try
        {
            await serve();
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Fault(e, context, isOfStream: true);
        }
    }

    private RpcException Fault(Exception exception, ServerCallContext context, bool isOfStream)
    {
        switch (exception)
        {
            case InvalidProtocolBufferException or InvalidDataException when isOfStream:
                return new RpcException(new Status(StatusCode.InvalidArgument, "a message cannot be read"));
            case IOException when isOfStream:
            case OperationCanceledException:
            case InvalidOperationException when context.CancellationToken.IsCancellationRequested:
                return new RpcException(new Status(StatusCode.Cancelled, "the stream was cancelled"));
        }

        var now = time.GetTimestamp();
        var logged = Volatile.Read(ref _logged);
        if ((logged == long.MinValue || time.GetElapsedTime(logged, now) > Pause) && Interlocked.CompareExchange(ref _logged, now, logged) == logged)
        {
            Log.Failed(logger, context.Method, exception);
        }

        return new RpcException(new Status(StatusCode.Unknown, "the call failed by a fault of this node"));
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "A call of {Method} failed. Others may have in the minute before")]
        public static partial void Failed(ILogger logger, string method, Exception exception);
    }
}
