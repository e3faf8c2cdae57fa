using System.Net;
using System.Net.Sockets;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

/// <summary>Requests to registries and stores when the environment names a proxy.</summary>
public sealed class OriginProxyTests
{
    // The proxy goes to the address itself: what is said here of connections does not hold for it.
    [Theory]
    [InlineData("169.254.169.254", true)]
    [InlineData("127.0.0.1", true)]
    [InlineData("[::1]", true)]
    [InlineData("[::ffff:169.254.169.254]", true)]
    [InlineData("8.8.8.8", false)]
    [InlineData("store.test", false)]
    public async Task Send_LiteralAddressThatIsForbidden_IsNotAskedOfTheProxy(string host, bool isForbidden)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        using var proxy = new FakeProxy(new Uri($"http://127.0.0.1:{port}"));
        var settings = OriginSettings.From(new OriginOptions { Registries = [new OriginRegistryOptions { Name = "registry.test" }], HeaderTimeout = "1s" });
        using var transport = new OriginTransport(settings, BlobHosts.From(new BlobOptions(), settings), (_, _) => throw new InvalidOperationException(), TimeProvider.System);

        foreach (var isBlob in new[] { false, true })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{host}:{port}/latest/meta-data");
            var reply = isBlob
                ? await transport.SendToStoreAsync(request, TestContext.Current.CancellationToken)
                : await transport.SendAsync(settings.Registries["registry.test"], request, TestContext.Current.CancellationToken);

            Assert.Equal(isForbidden, reply.Failure!.Error.Contains("its address is not allowed", StringComparison.Ordinal));
            Assert.Equal(isForbidden, !listener.Pending());
        }
    }

    /// <summary>What the variable http_proxy does, for one port only: other tests run in this process.</summary>
    private sealed class FakeProxy : IWebProxy, IDisposable
    {
        private readonly IWebProxy _usual = HttpClient.DefaultProxy;
        private readonly Uri _address;
        private volatile bool _isOver;

        public FakeProxy(Uri address)
        {
            _address = address;
            HttpClient.DefaultProxy = this;
        }

        public ICredentials? Credentials { get; set; }

        public Uri GetProxy(Uri destination) => _address;

        public bool IsBypassed(Uri host) => _isOver || host.Port != _address.Port;

        public void Dispose()
        {
            HttpClient.DefaultProxy = _usual;
            _isOver = true;
        }
    }
}
