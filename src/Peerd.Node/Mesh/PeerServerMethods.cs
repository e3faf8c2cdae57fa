using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.AspNetCore.Server.Model;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>
/// The methods of PeerService as this program calls and serves them: names and bytes of the generated ones, but with
/// <see cref="RangeAnswerMarshaller"/> for the answers of FetchRange.
/// </summary>
internal static class PeerMethods
{
    /// <summary>Bytes of a message that asks for a range. Some of them wait on each stream.</summary>
    public const int MaxRangeRequest = 1024;

    /// <summary>
    /// What a message may take of memory when it is parsed, whatever it has of bytes. The longest that nodes send is of an owner: 8 holders with
    /// 8192 runs of pieces each, and the checksums of 32,768 pieces.
    /// </summary>
    private const int MaxParsed = 10 * 1024 * 1024;

    /// <summary>Messages of so many bytes are parsed in any case.</summary>
    private const int SmallMessage = 1024;

    public static readonly Method<AnnounceRequest, AnnounceResponse> Announce =
        Duplex(nameof(Announce), MarshallerOf(AnnounceRequest.Parser, AnnounceRequest.Descriptor, ProtocolConstants.MaxRequestBytes), MarshallerOf(AnnounceResponse.Parser, AnnounceResponse.Descriptor));

    public static readonly Method<LookupRequest, LookupResponse> Lookup =
        Duplex(nameof(Lookup), MarshallerOf(LookupRequest.Parser, LookupRequest.Descriptor, ProtocolConstants.MaxRequestBytes), MarshallerOf(LookupResponse.Parser, LookupResponse.Descriptor));

    public static readonly Method<FetchRangeRequest, RangeAnswer> FetchRange =
        Duplex(nameof(FetchRange), MarshallerOf(FetchRangeRequest.Parser, FetchRangeRequest.Descriptor, MaxRangeRequest), RangeAnswerMarshaller.Instance);

    /// <summary>
    /// <see cref="FetchRange"/> for a caller that takes the frames from the buffer of the connection. A channel keeps
    /// each method that it was ever called with, so make few.
    /// </summary>
    public static Method<FetchRangeRequest, RangeAnswer> FetchRangeTo(IFrameReceiver receiver) =>
        Duplex(nameof(FetchRange), FetchRange.RequestMarshaller, RangeAnswerMarshaller.For(receiver));

    private static Method<TRequest, TResponse> Duplex<TRequest, TResponse>(string name, Marshaller<TRequest> request, Marshaller<TResponse> response) =>
        new(MethodType.DuplexStreaming, PeerService.Descriptor.FullName, name, request, response);

    private static Marshaller<T> MarshallerOf<T>(MessageParser<T> parser, MessageDescriptor descriptor, int most = int.MaxValue)
        where T : IMessage<T>
    {
        // What this program does not know of a message it would only keep in memory.
        parser = parser.WithDiscardUnknownFields(true);
        var parsed = ParsedSize.Of(descriptor);
        return new(
            (message, context) =>
            {
                context.SetPayloadLength(message.CalculateSize());
                message.WriteTo(context.GetBufferWriter());
                context.Complete();
            },
            context =>
            {
                if (context.PayloadLength > most)
                {
                    throw new RpcException(new Status(StatusCode.ResourceExhausted, $"a message of {context.PayloadLength} bytes; at most {most} are taken"));
                }

                var payload = context.PayloadAsReadOnlySequence();
                if (payload.Length > SmallMessage)
                {
                    EnsureNotTooLarge(parsed.Estimate(payload, MaxParsed));
                }

                return parser.ParseFrom(payload);
            });
    }

    private static void EnsureNotTooLarge(long? parsed)
    {
        if (parsed is null)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "a message that is malformed"));
        }

        if (parsed > MaxParsed)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, $"a message of so many parts that it would take more than {MaxParsed} bytes of memory"));
        }
    }
}

/// <summary>Tells the gRPC server the methods of <see cref="PeerServer"/>.</summary>
internal sealed class PeerServerMethods : IServiceMethodProvider<PeerServer>
{
    public void OnServiceMethodDiscovery(ServiceMethodProviderContext<PeerServer> context)
    {
        context.AddDuplexStreamingMethod(PeerMethods.Announce, [], (server, requests, responses, call) => server.AnnounceAsync(requests, responses, call));
        context.AddDuplexStreamingMethod(PeerMethods.Lookup, [], (server, requests, responses, call) => server.LookupAsync(requests, responses, call));
        context.AddDuplexStreamingMethod(PeerMethods.FetchRange, [], (server, requests, responses, call) => server.FetchRangeAsync(requests, responses, call));
    }
}
