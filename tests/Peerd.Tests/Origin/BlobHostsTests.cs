using System.Net;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class BlobHostsTests
{
    private static readonly BlobHosts Hosts = Create(["https://store.example", "http://clear.example:8080", ".blob.example.net"], ["10.9.0.0/16"]);

    [Theory]
    [InlineData("https://store.example/p?sig=S3cret1", true)]
    [InlineData("https://STORE.example/p", true)]
    [InlineData("https://store.example:443/p", true)]
    [InlineData("https://store.example:444/p", false)]
    [InlineData("http://store.example/p", false)]
    [InlineData("https://x.store.example/p", false)]
    [InlineData("https://store.example.evil/p", false)]
    [InlineData("https://store.example./p", false)]
    [InlineData("http://clear.example:8080/p", true)]
    [InlineData("http://clear.example/p", false)]
    [InlineData("https://clear.example:8080/p", false)]
    [InlineData("https://a.blob.example.net/p", true)]
    [InlineData("https://a.b.blob.example.net/p", true)]
    [InlineData("https://blob.example.net/p", false)]
    [InlineData("https://evilblob.example.net/p", false)]
    [InlineData("https://a.blob.example.net:8443/p", false)]
    [InlineData("http://a.blob.example.net/p", false)]
    [InlineData("https://registry.test/v2/x", true)]
    [InlineData("https://127.0.0.1/p", false)]
    [InlineData("https://2130706433/p", false)]
    [InlineData("https://0x7f.1/p", false)]
    [InlineData("https://[::1]/p", false)]
    [InlineData("https://xn--store-example/p", false)]
    public void Allows_AnyUrl_OnlyWhatIsOnTheList(string text, bool expected)
    {
        Assert.True(OriginUrl.TryParse(text, out var url));
        Assert.Equal(expected, Hosts.Allows(url));
    }

    [Theory]
    [InlineData("https://acct.blob.core.windows.net/x", true)]
    [InlineData("https://eus2.data.mcr.microsoft.com/x", true)]
    [InlineData("https://myreg.azurecr.io/v2/x", true)]
    [InlineData("https://myreg.eastus.data.azurecr.io/x", true)]
    [InlineData("https://production.cloudflare.docker.com/x", true)]
    [InlineData("https://pkg-containers.githubusercontent.com/x", true)]
    [InlineData("https://europe-west1-docker.pkg.dev/x", true)]
    [InlineData("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/x", true)]
    [InlineData("https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com/x", true)]
    [InlineData("https://acct.blob.core.usgovcloudapi.net/x", true)]
    [InlineData("https://acct.blob.core.chinacloudapi.cn/x", true)]
    [InlineData("https://storage.googleapis.com/x", true)]
    [InlineData("https://myreg.azurecr.us/v2/x", true)]
    [InlineData("https://myreg.azurecr.cn/v2/x", true)]
    [InlineData("https://mcr.microsoft.com/v2/x", true)]
    [InlineData("https://registry-1.docker.io/v2/x", true)]
    [InlineData("https://production.cloudfront.docker.com/x", true)]
    [InlineData("https://docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com/x", true)]
    [InlineData("https://docker-images-prod.s3.amazonaws.com/x", true)]
    [InlineData("https://docker-images-prod.s3.us-east-1.amazonaws.com/x", true)]
    [InlineData("https://docker-images-prod.s3.dualstack.us-east-1.amazonaws.com/x", true)]
    [InlineData("https://ghcr.io/v2/x", true)]
    [InlineData("https://quay.io/v2/x", true)]
    [InlineData("https://cdn01.quay.io/x", true)]
    [InlineData("https://gcr.io/v2/x", true)]
    [InlineData("https://eu.gcr.io/v2/x", true)]
    [InlineData("https://public.ecr.aws/v2/x", true)]
    [InlineData("https://d2glxqk2uabbnd.cloudfront.net/x", true)]
    [InlineData("https://d5l0dvt14r5h8.cloudfront.net/x", true)]
    [InlineData("https://123456789012.dkr-ecr.eu-west-1.on.aws/v2/x", true)]
    [InlineData("https://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/v2/x", true)]
    [InlineData("https://prod-eu-west-1-starport-layer-bucket.s3.dualstack.eu-west-1.amazonaws.com/x", true)]
    [InlineData("https://prod-ap-southeast-6-starport-layer-bucket.s3.ap-southeast-6.amazonaws.com/x", true)]
    [InlineData("https://prod-ap-east-2-starport-layer-bucket.s3.ap-east-2.amazonaws.com/x", true)]
    [InlineData("https://prod-us-gov-west-1-starport-layer-bucket.s3.us-gov-west-1.amazonaws.com/x", true)]
    [InlineData("https://prod-cn-northwest-1-starport-layer-bucket.s3.cn-northwest-1.amazonaws.com.cn/x", true)]
    [InlineData("https://prod-cn-north-1-starport-layer-bucket.s3.dualstack.cn-north-1.amazonaws.com.cn/x", true)]
    [InlineData("https://registry.k8s.io/v2/x", true)]
    [InlineData("https://prod-registry-k8s-io-us-east-2.s3.dualstack.us-east-2.amazonaws.com/x", true)]
    [InlineData("https://767373bbdcb8270361b96548387bf2a9ad0d48758c35-eu-west-2.s3.dualstack.eu-west-2.amazonaws.com/x", true)]
    [InlineData("https://d39mqg4b1dx9z1.cloudfront.net/x", true)]
    [InlineData("https://d1be1w964nk82h.cloudfront.net/x", true)]
    [InlineData("https://cdn.registry.k8s.io/x", true)]
    [InlineData("https://my-bucket.s3.eu-west-1.amazonaws.com/x", false)]
    [InlineData("https://other.cloudfront.net/x", false)]
    [InlineData("https://other.docker.com/x", false)]
    [InlineData("https://docker-images-prod2.s3.amazonaws.com/x", false)]
    [InlineData("https://docker-images-prod.s3.evil.example/x", false)]
    [InlineData("https://prod-registry-k8s-io-eu-west-2.s3.dualstack.eu-west-2.amazonaws.com/x", false)]
    [InlineData("https://evil.example/x", false)]
    public void Allows_WithoutConfiguration_StoresOfWellKnownRegistries(string text, bool expected)
    {
        Assert.True(OriginUrl.TryParse(text, out var url));
        Assert.Equal(expected, Create([], []).Allows(url));
    }

    [Theory]
    [InlineData("https://acct.blob.core.windows.net/x", nameof(HostTrust.Account))]
    [InlineData("https://acct.blob.core.usgovcloudapi.net/x", nameof(HostTrust.Account))]
    [InlineData("https://acct.blob.core.chinacloudapi.cn/x", nameof(HostTrust.Account))]
    [InlineData("https://storage.googleapis.com/x", nameof(HostTrust.None))]
    [InlineData("https://myreg.eastus.data.azurecr.io/x", nameof(HostTrust.Any))]
    [InlineData("https://myreg.usgovvirginia.data.azurecr.us/x", nameof(HostTrust.Any))]
    [InlineData("https://myreg.chinanorth3.data.azurecr.cn/x", nameof(HostTrust.Any))]
    [InlineData("https://myreg.azurecr.io/x", nameof(HostTrust.Registry))]
    [InlineData("https://myreg.azurecr.us/x", nameof(HostTrust.Registry))]
    [InlineData("https://myreg.azurecr.cn/x", nameof(HostTrust.Registry))]
    [InlineData("https://cdn01.quay.io/x", nameof(HostTrust.Any))]
    [InlineData("https://quay.io/x", nameof(HostTrust.Registry))]
    [InlineData("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/x", nameof(HostTrust.Registry))]
    [InlineData("https://registry.test/x", nameof(HostTrust.Registry))]
    public void TrustIn_WithoutConfiguration_WithinItsAccountWhereAnybodyCanRentOne(string text, string expected)
    {
        Assert.True(OriginUrl.TryParse(text, out var url));
        Assert.Equal((true, expected), (Create([], []).Allows(url), Create([], []).TrustIn(url).ToString()));

        // What the operator lists keeps blobs, but well-known registries show pages, too.
        var listed = Create([$"{url.Scheme}://{url.Host}"], []);
        Assert.Equal(expected == nameof(HostTrust.Registry) && url.Host != "registry.test" ? HostTrust.Registry : HostTrust.Any, listed.TrustIn(url));
    }

    // Whatever the list is, nothing of it is lost, and of those that can be rented the account that is listed is believed by all.
    [Theory]
    [InlineData("https://acct.blob.core.windows.net/x", nameof(HostTrust.Any), nameof(HostTrust.Any))]
    [InlineData("https://a.more.example/x", nameof(HostTrust.Any), nameof(HostTrust.Any))]
    [InlineData("https://other.blob.core.windows.net/x", nameof(HostTrust.Account), null)]
    [InlineData("https://storage.googleapis.com/x", nameof(HostTrust.None), null)]
    [InlineData("http://acct.blob.core.windows.net/x", null, null)]
    [InlineData("https://myreg.eastus.data.azurecr.io/x", nameof(HostTrust.Any), null)]
    [InlineData("https://quay.io/x", nameof(HostTrust.Registry), null)]
    [InlineData("https://registry.test/x", nameof(HostTrust.Registry), nameof(HostTrust.Registry))]
    [InlineData("https://store.example/x", null, nameof(HostTrust.Any))]
    public void TrustIn_MoreHosts_AreAddedToTheListInForce(string text, string? byDefault, string? listed)
    {
        Assert.True(OriginUrl.TryParse(text, out var url));
        List<string> more = ["https://acct.blob.core.windows.net", ".more.example"];

        AssertTrust(byDefault, Create([], [], more));
        AssertTrust(listed, Create(["https://store.example"], [], more));

        void AssertTrust(string? expected, BlobHosts hosts) =>
            Assert.Equal((expected is not null, expected ?? nameof(HostTrust.None)), (hosts.Allows(url), hosts.TrustIn(url).ToString()));
    }

    [Theory]
    [InlineData("10.9.1.2", true)]
    [InlineData("192.168.1.1", true)]
    [InlineData("8.8.8.8", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("169.254.169.254", false)]
    [InlineData("::ffff:169.254.169.254", false)]
    [InlineData("0.0.0.0", false)]
    [InlineData("224.0.0.1", false)]
    [InlineData("fe80::1", false)]
    public void IsAllowed_AnyAddress_WhatIsNotForbidden(string address, bool expected) =>
        Assert.Equal(expected, Hosts.IsAllowed(IPAddress.Parse(address)));

    [Fact]
    public void IsAllowed_NetworkThatIsAllowed_LiftsTheBan()
    {
        var hosts = Create([], ["127.0.0.0/8"]);

        Assert.True(hosts.IsAllowed(IPAddress.Parse("127.0.0.1")));
        Assert.True(hosts.IsAllowed(IPAddress.Parse("::ffff:127.0.0.1")));
        Assert.False(hosts.IsAllowed(IPAddress.Parse("169.254.169.254")));
    }

    [Theory]
    [InlineData("store.example")]
    [InlineData("https://store.example/path")]
    [InlineData("https://store.example?x")]
    [InlineData("https://u@store.example")]
    [InlineData("ftp://store.example")]
    [InlineData(".com")]
    [InlineData(".")]
    [InlineData("..example.net")]
    [InlineData(".example.net.")]
    [InlineData("*.example.net")]
    [InlineData("")]
    public void Validate_WrongHost_IsTold(string host)
    {
        var shown = host.Contains('@', StringComparison.Ordinal) ? "(hidden: contains '@')" : host;

        Assert.Contains($"Peerd:Blobs:Hosts:0 is '{shown}'", Faults(new BlobOptions { Hosts = [host] }), StringComparison.Ordinal);
        Assert.Contains($"Peerd:Blobs:MoreHosts:1 is '{shown}'", Faults(new BlobOptions { MoreHosts = [".example.net", host] }), StringComparison.Ordinal);
    }

    [Fact]
    public void Validate_WrongValues_AllAreTold()
    {
        var faults = Faults(new BlobOptions { AllowedNetworks = ["10.0.0.0/33"], AnswerTimeout = "0s", ReadAhead = "1GiB", LearnedOrder = "maybe" });

        Assert.All(["AllowedNetworks:0", "AnswerTimeout", "ReadAhead", "LearnedOrder"], key => Assert.Contains($"Peerd:Blobs:{key} is", faults, StringComparison.Ordinal));
    }

    // A read of overlaybd has 30 s for all its tries: three of them must fit.
    [Theory]
    [InlineData("10s", false)]
    [InlineData("11s", true)]
    [InlineData("1m", true)]
    public void Validate_AnswerTimeout_LeavesTimeForOtherTries(string timeout, bool isFault) =>
        Assert.Equal(isFault, Faults(new BlobOptions { AnswerTimeout = timeout }).Contains("Peerd:Blobs:AnswerTimeout is", StringComparison.Ordinal));

    private static string Faults(BlobOptions options) => string.Join('\n', new BlobOptionsValidator().Validate(null, options).Failures ?? []);

    private static BlobHosts Create(List<string> hosts, List<string> networks, List<string>? more = null) => BlobHosts.From(
        new BlobOptions { Hosts = hosts, MoreHosts = more ?? [], AllowedNetworks = networks },
        OriginSettings.From(new OriginOptions { Registries = [new OriginRegistryOptions { Name = "registry.test" }] }));
}
