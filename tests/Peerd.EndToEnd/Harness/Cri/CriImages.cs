using System.Net.Sockets;
using Grpc.Core;
using Grpc.Net.Client;

namespace Peerd.EndToEnd.Harness.Cri;

/// <summary>Images as kubelet handles them, over the interface that containerd serves at its socket.</summary>
internal sealed class CriImages : IImageClient, IDisposable
{
    private static readonly TimeSpan ShortTimeout = TimeSpan.FromSeconds(30);

    private readonly GrpcChannel _channel;
    private readonly ImageService.ImageServiceClient _images;

    public CriImages(string socket)
    {
        _channel = GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            HttpHandler = new SocketsHttpHandler { UseProxy = false, ConnectCallback = (_, cancellationToken) => ConnectAsync(socket, cancellationToken) },
        });
        _images = new ImageService.ImageServiceClient(_channel);
    }

    /// <inheritdoc />
    public string Namespace => "k8s.io";

    /// <inheritdoc />
    public async Task<string?> PullAsync(string reference, RegistryLogin? login, TimeSpan timeout)
    {
        var request = new PullImageRequest
        {
            Image = new ImageSpec { Image = reference },
            Auth = login is null ? null : new AuthConfig { Username = login.User, Password = login.Password },
        };
        try
        {
            var pulled = await _images.PullImageAsync(request, deadline: In(timeout));
            return await FindIdAsync(reference) == pulled.ImageRef ? null : $"{reference} was pulled as {pulled.ImageRef} and is not there";
        }
        catch (RpcException e)
        {
            return e.Status.ToString();
        }
    }

    /// <inheritdoc />
    public async Task RemoveAsync(string reference) =>
        await _images.RemoveImageAsync(new RemoveImageRequest { Image = new ImageSpec { Image = reference } }, deadline: In(ShortTimeout));

    /// <summary>The id of an image, which is the digest of its configuration; null when it is not there.</summary>
    public async Task<string?> FindIdAsync(string reference)
    {
        var status = await _images.ImageStatusAsync(new ImageStatusRequest { Image = new ImageSpec { Image = reference } }, deadline: In(ShortTimeout));
        return status.Image?.Id;
    }

    /// <summary>Returns true when the interface answers.</summary>
    public async Task<bool> AnswersAsync()
    {
        try
        {
            await FindIdAsync("none.test/none:none");
            return true;
        }
        catch (RpcException e) when (e.StatusCode is StatusCode.Unimplemented or StatusCode.Unavailable)
        {
            return false;
        }
    }

    /// <inheritdoc />
    public void Dispose() => _channel.Dispose();

    private static DateTime In(TimeSpan timeout) => TimeProvider.System.GetUtcNow().UtcDateTime + timeout;

    private static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
