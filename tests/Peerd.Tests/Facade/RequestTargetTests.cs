using System.Net;
using CsCheck;
using Peerd.Contracts;
using Peerd.Node.Facade;
using Peerd.Node.Origin;

namespace Peerd.Tests.Facade;

public sealed class RequestTargetTests
{
    private static readonly string Sha256 = "sha256:" + new string('a', 64);
    private static readonly string Sha512 = "sha512:" + new string('b', 128);

    public static TheoryData<string, string, string, string, string?> WellFormed => new()
    {
        { "/v2", nameof(RequestKind.Version), "", "", null },
        { "/v2/", nameof(RequestKind.Version), "", "", null },
        { "/v2/?ns=reg.test", nameof(RequestKind.Version), "", "", "reg.test" },
        { "/v2/a/manifests/v1", nameof(RequestKind.Manifest), "a", "v1", null },
        { "/v2/team/app/manifests/_v1.2-x?ns=reg.test", nameof(RequestKind.Manifest), "team/app", "_v1.2-x", "reg.test" },
        { $"/v2/team/app/manifests/{Sha256}?ns=quay.io%3A8443", nameof(RequestKind.Manifest), "team/app", Sha256, "quay.io:8443" },
        { $"/v2/team/app/blobs/{Sha512}?ns=QUAY.io:8443", nameof(RequestKind.Blob), "team/app", Sha512, "quay.io:8443" },
        { $"/v2/a/blobs/manifests/blobs/{Sha256}", nameof(RequestKind.Blob), "a/blobs/manifests", Sha256, null },
        { $"/v2/a__b.c-d--e/blobs/{Sha256}?x=1&ns=%5B2001:db8::1%5D:5000&&y", nameof(RequestKind.Blob), "a__b.c-d--e", Sha256, "[2001:db8::1]:5000" },
        { $"/v2/a/manifests/sha256-{new string('a', 64)}", nameof(RequestKind.Manifest), "a", "sha256-" + new string('a', 64), null },
        { $"/v2/{new string('a', 255)}/manifests/{new string('t', 128)}", nameof(RequestKind.Manifest), new string('a', 255), new string('t', 128), null },
        { "/v2/_catalog", nameof(RequestKind.NotServed), "", "", null },
        { "/v2/a/tags/list?n=3", nameof(RequestKind.Tags), "a", "list", null },
        { $"/v2/a/referrers/{Sha256}?artifactType=x", nameof(RequestKind.Referrers), "a", Sha256, null },
        { "/", nameof(RequestKind.NotServed), "", "", null },
        { "/v3/a/manifests/v1", nameof(RequestKind.NotServed), "", "", null },
    };

    public static TheoryData<string, string> Malformed => new()
    {
        { "", RegistryError.NameInvalid },
        { "*", RegistryError.NameInvalid },
        { "http://evil/v2/a/manifests/v1", RegistryError.NameInvalid },
        { "/v2/A/B/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a//b/manifests/v1", RegistryError.NameInvalid },
        { "/v2/-a/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a-/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a___b/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a..b/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a//manifests/v1", RegistryError.NameInvalid },
        { "/v2/manifests/v1", RegistryError.NameInvalid },
        { "/v2//manifests/v1", RegistryError.NameInvalid },
        { "/v2/../a/manifests/v1", RegistryError.NameInvalid },
        { "/v2/./a/manifests/v1", RegistryError.NameInvalid },
        { $"/v2/{new string('a', 256)}/manifests/v1", RegistryError.NameInvalid },
        { "/v2/ä/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a%2Fb/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a%2fmanifests%2fv1", RegistryError.NameInvalid },
        { "/v2/a\\b/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1#x", RegistryError.NameInvalid },
        { "/v2/a/manifests/", RegistryError.NameInvalid },
        { "/v2/a/manifests/..", RegistryError.NameInvalid },
        { "/v2/a/manifests/-x", RegistryError.NameInvalid },
        { $"/v2/a/manifests/{new string('t', 129)}", RegistryError.NameInvalid },
        { "/v2/a/manifests/sha256:XYZ", RegistryError.DigestInvalid },
        { "/v2/a/blobs/v1", RegistryError.DigestInvalid },
        { "/v2/a/blobs/", RegistryError.DigestInvalid },
        { "/v2/a/blobs/sha256:", RegistryError.DigestInvalid },
        { $"/v2/a/blobs/sha256:{new string('a', 63)}", RegistryError.DigestInvalid },
        { $"/v2/a/blobs/sha256:{new string('a', 65)}", RegistryError.DigestInvalid },
        { $"/v2/a/blobs/sha256:{new string('A', 64)}", RegistryError.DigestInvalid },
        { $"/v2/a/blobs/SHA256:{new string('a', 64)}", RegistryError.DigestInvalid },
        { $"/v2/a/blobs/md5:{new string('a', 32)}", RegistryError.DigestInvalid },
        { $"/v2/a/blobs/sha256:{new string('a', 10_000)}", RegistryError.DigestInvalid },
        { "/v2/a/referrers/sha256:abc", RegistryError.DigestInvalid },
        { "/v2/a/manifests/v1?ns=", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test&ns=reg.test", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test&%6Es=evil.test", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=evil.test/path", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=a@b", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=http://x", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test%0d%0aX-Evil:1", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test%0a", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test%00", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test%", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg%252etest", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=%E2%84%AAk.test", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test.", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=-reg.test", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg+test", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test:0", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test:65536", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test:080", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=reg.test:", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=[::1", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=[1.2.3.4]", RegistryError.NameInvalid },
        { "/v2/a/manifests/v1?ns=[fe80::1%25eth0]", RegistryError.NameInvalid },
        { $"/v2/a/manifests/v1?ns={new string('a', 256)}", RegistryError.NameInvalid },
        { "/v2/A/tags/list", RegistryError.NameInvalid },
        { "/v2/a/tags/list?n=-1", RegistryError.Unsupported },
        { "/v2/a/tags/list?n=1&n=2", RegistryError.Unsupported },
        { "/v2/a/tags/list?last=a%0d%0aX", RegistryError.Unsupported },
        { $"/v2/a/tags/list?last={new string('a', 1025)}", RegistryError.Unsupported },
        { "/v2/?ns=a@b", RegistryError.NameInvalid },
    };

    [Theory]
    [MemberData(nameof(WellFormed))]
    public void TryParse_WellFormed_GivesParts(string raw, string kind, string repository, string reference, string? registry)
    {
        Assert.True(RequestTarget.TryParse(raw, out var target, out _));

        Assert.Equal((kind, repository, reference, registry), (target.Kind.ToString(), target.Repository, target.Reference, target.Registry));
        Assert.Equal(reference.Contains(':', StringComparison.Ordinal), !target.Digest.IsEmpty);
    }

    [Theory]
    [MemberData(nameof(Malformed))]
    public void TryParse_Malformed_IsBadRequest(string raw, string code)
    {
        Assert.False(RequestTarget.TryParse(raw, out _, out var error));

        Assert.Equal((HttpStatusCode.BadRequest, code), (error.Status, error.Code));
    }

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void TryParse_AnyMixOfParts_GivesOnlySafeParts()
    {
        string[] parts = ["/v2", "/", "a", "team/app", "manifests", "blobs", "..", "%2e", "%2F", "?", "&", "ns=", "ns", "reg.test", ":80", "%0d%0a", "[::1]", "@", "#", "é", "\0", "\\", " ", "-", "_", "V1", Sha256, "sha256:"];
        Gen.Int[0, parts.Length - 1].Array[0, 12].Select(picks => string.Concat(picks.Select(i => parts[i]))).Sample(raw =>
        {
            if (RequestTarget.TryParse(raw, out var target, out var error))
            {
                Assert.True(target.Registry is null || RegistryName.TryParse(target.Registry, out _));
                if (target.Kind is RequestKind.Manifest or RequestKind.Blob)
                {
                    Assert.True(RegistryName.IsRepository(target.Repository));
                    Assert.True(RegistryName.IsTag(target.Reference) || Digest.TryParse(target.Reference, out _));
                    var path = raw.Split('?')[0];
                    Assert.Equal(path, $"/v2/{target.Repository}/{(target.Kind == RequestKind.Blob ? "blobs" : "manifests")}/{target.Reference}");
                }
            }
            else
            {
                Assert.Equal(HttpStatusCode.BadRequest, error.Status);
            }
        });
    }
}
