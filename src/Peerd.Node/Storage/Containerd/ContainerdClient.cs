using System.Net.Sockets;
using Grpc.Core;
using Grpc.Net.Client;
using Peerd.Contracts;
using Peerd.Contracts.ContainerdApi;
using ContentApi = Peerd.Contracts.ContainerdApi.Content;
using EventsApi = Peerd.Contracts.ContainerdApi.Events;
using IntrospectionApi = Peerd.Contracts.ContainerdApi.Introspection;

namespace Peerd.Node.Storage.Containerd;

/// <summary>One connection to containerd. Calls throw <see cref="RpcException"/>.</summary>
internal sealed class ContainerdClient(string socket, string ns, TimeProvider time) : IDisposable
{
    private const string ContentPlugin = "io.containerd.content.v1";

    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ListTimeout = TimeSpan.FromMinutes(1);

    private readonly GrpcChannel _channel = GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler { ConnectCallback = (_, cancellationToken) => ConnectAsync(socket, cancellationToken) },
        DisposeHttpClient = true,
    });

    /// <summary>It is containerd that cannot be asked; nothing is said of what it was asked for.</summary>
    public static bool IsAway(StatusCode code) => code is StatusCode.Unavailable or StatusCode.Cancelled or StatusCode.DeadlineExceeded;

    /// <summary>The folder of the content store; null when containerd does not tell it.</summary>
    public async Task<string?> FindRootAsync(CancellationToken cancellationToken)
    {
        var request = new PluginsRequest { Filters = { $"type=={ContentPlugin}" } };
        var answer = await new IntrospectionApi.IntrospectionClient(_channel)
            .PluginsAsync(request, deadline: time.GetUtcNow().UtcDateTime + AnswerTimeout, cancellationToken: cancellationToken);
        return answer.Plugins.Where(plugin => plugin.Type == ContentPlugin).Select(plugin => plugin.Exports.GetValueOrDefault("root")).FirstOrDefault(root => root is not null);
    }

    /// <summary>Digest and size of all contents of the namespace.</summary>
    public async Task<IReadOnlyDictionary<Digest, long>> ListAsync(CancellationToken cancellationToken)
    {
        var found = new Dictionary<Digest, long>();
        using var call = new ContentApi.ContentClient(_channel)
            .List(new ListContentRequest(), Namespace, time.GetUtcNow().UtcDateTime + ListTimeout, cancellationToken);
        while (await call.ResponseStream.MoveNext(cancellationToken))
        {
            foreach (var info in call.ResponseStream.Current.Info)
            {
                if (Digest.TryParse(info.Digest, out var digest) && info.Size is >= 0 and <= PieceCache.MaxContentSize)
                {
                    found[digest] = info.Size;
                }
            }
        }

        return found;
    }

    /// <summary>Bytes of a blob.</summary>
    /// <exception cref="IOException">containerd sends another number of bytes.</exception>
    public async Task<PooledBuffer> ReadAsync(Digest digest, long offset, int length, CancellationToken cancellationToken)
    {
        var bytes = PooledBuffer.Rent(length);
        try
        {
            // The offsets of the answers count from the beginning of this read: they just follow each other.
            var read = 0;
            using var call = new ContentApi.ContentClient(_channel).Read(
                new ReadContentRequest { Digest = digest.ToString(), Offset = offset, Size = length }, Namespace, time.GetUtcNow().UtcDateTime + AnswerTimeout, cancellationToken);
            while (await call.ResponseStream.MoveNext(cancellationToken))
            {
                var data = call.ResponseStream.Current.Data;
                if (data.Length > length - read)
                {
                    throw new IOException($"containerd sends more than the {length} bytes at {offset} of {digest} that were asked for");
                }

                data.Span.CopyTo(bytes.Memory.Span[read..]);
                read += data.Length;
            }

            return read == length ? bytes : throw new IOException($"containerd sends {read} bytes at {offset} of {digest}, not {length}");
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }

    /// <summary>Events of images and contents of the namespace; the stream has no deadline, it ends with the connection.</summary>
    public AsyncServerStreamingCall<EventEnvelope> Subscribe(CancellationToken cancellationToken) =>
        new EventsApi.EventsClient(_channel).Subscribe(
            new SubscribeRequest { Filters = { $"namespace=={ns},topic~=\"^/(images|content)/\"" } },
            cancellationToken: cancellationToken);

    private Metadata Namespace => new() { { "containerd-namespace", ns } };

    public void Dispose() => _channel.Dispose();

    private static async ValueTask<Stream> ConnectAsync(string socket, CancellationToken cancellationToken)
    {
        var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancellationToken);
            return new NetworkStream(connection, ownsSocket: true);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }
}
