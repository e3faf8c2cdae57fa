using System.Globalization;
using System.Net.Sockets;
using System.Numerics;
using System.Text.RegularExpressions;
using CsCheck;
using Microsoft.Extensions.Logging;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Facade;

/// <summary>Requests that no honest client sends, over the wire.</summary>
[Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
public sealed partial class FacadeFuzzTests
{
    private const int Size = 100_003;

    // Kestrel's own, for what is no HTTP, and those of the facade.
    private static readonly int[] Answers = [200, 206, 400, 401, 403, 404, 405, 408, 411, 413, 414, 416, 431, 501, 502, 503, 504, 505];

    private static readonly string Digest = "sha256:" + new string('a', 64);

    private static readonly Gen<string> Target = Gen.OneOf(
        Words(8, "/v2", "/v2/", "/", "/blobs/", "a", "team/app", "/manifests/", "/blobs/sha256:", "/tags/list", "/referrers/", Digest, "https://reg.test/x", "http://127.0.0.1:1/", "..", "%2e%2e", "%2F", "%00", "?", "&", "ns=reg.test", "ns=", "#", "é", "\\", "\0", "@", "[::1]", "*", "\t"),
        Gen.Const($"/v2/team/app/blobs/{Digest}?ns=reg.test"),
        Gen.Char['!', '~'].Array[0, 60].Select(text => new string(text)),
        Gen.Int[1, 20_000].Select(length => "/v2/" + new string('a', length)));

    private static readonly Gen<string> Header = Gen.OneOf(
        Words(4, "Range: ", "bytes=", "0-", "-", "5", "99999999999999999999", ",", " ", "x"),
        Words(3, "Host: ", "a", ":", "\0", "é", " "),
        Words(3, "Authorization: ", "Bearer ", "Basic ", "\x7f", "====", "S3cretToken"),
        Words(3, "Content-Length: ", "5", "-1", "x", "99999999999999999999"),
        Words(2, "Transfer-Encoding: ", "chunked", "gzip", "x"),
        Words(3, "Connection: ", "close", "keep-alive", "Upgrade", ","),
        Words(2, "Expect: ", "100-continue", "x"),
        Words(2, "Accept: ", "application/vnd.oci.image.manifest.v1+json", "*/*", ";q=x"),
        Gen.Char['\x01', '~'].Array[0, 40].Select(text => new string(text).Replace('\n', ' ').Replace('\r', ' ')),
        Gen.Int[1, 40_000].Select(length => "X: " + new string('x', length)));

    private static readonly Gen<string> Request =
        from method in Gen.OneOf(Gen.OneOf("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", "", "G\0T"), Gen.Char['A', 'Z'].Array[1, 30].Select(text => new string(text)))
        from target in Target
        from version in Gen.OneOf("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", "")
        from headers in Header.Array[0, 4]
        from host in Gen.OneOf("Host: 127.0.0.1:30000\r\n", "")
        select $"{method} {target} {version}\r\n{host}{string.Concat(headers.Select(header => header + "\r\n"))}\r\n";

    private static readonly Gen<string> Range = Gen.OneOf(
        Gen.Select(Number(), Number(), (first, last) => $"bytes={first}-{last}"),
        Number().Select(first => $"bytes={first}-"),
        Number().Select(last => $"bytes=-{last}"),
        Words(6, "bytes=", "Bytes=", "bytes", "=", "-", "0", "5", "17", ",", "x", "99999999999999999999", "items="));

    [Fact]
    public async Task Request_AnyBytes_AnswerIsWellFormedAndTheNextClientIsServed()
    {
        await using var host = await FacadeHost.StartAsync();
        var bytes = Bytes();
        var target = $"/v2/team/app/blobs/{host.Contents.Add(bytes)}?ns=reg.test";

        await Request.SampleAsync(
            async text =>
            {
                Assert.True(await AskAsync(host, text) is not { } status || Answers.Contains(status), "an answer that nobody expects");
                Assert.Equal(bytes, (await host.GetAsync(target)).Body);
                Assert.DoesNotContain(host.Logs.GetSnapshot(clear: true), record => record.Level >= LogLevel.Error);
            },
            iter: 150,
            threads: 1);
    }

    [Fact]
    public async Task Range_AnyHeader_IsWhatTheSpecificationSays()
    {
        await using var host = await FacadeHost.StartAsync();
        var bytes = Bytes();
        var target = $"/v2/team/app/blobs/{host.Contents.Add(bytes)}?ns=reg.test";

        await Range.SampleAsync(
            async range =>
            {
                var (status, offset, length) = Expect(range);

                var answer = await host.GetAsync(target, "Range: " + range);

                Assert.Equal(status, answer.Status);
                if (status != 416)
                {
                    Assert.True(bytes.AsSpan(offset, length).SequenceEqual(answer.Body));
                    Assert.Equal(status == 206 ? $"bytes {offset}-{offset + length - 1}/{Size}" : null, answer.Header("Content-Range"));
                }
            },
            iter: 200,
            threads: 1);
    }

    // Where overlaybd reads: there the whole is never sent for what is no range.
    [Fact]
    public async Task BlobRange_AnyHeader_IsExactlyThatRangeOrRefused()
    {
        await using var mesh = await TestMesh.StartAsync();
        var bytes = Bytes();
        var url = $"{mesh.Registry.Url}/v2/r/blobs/{mesh.Registry.AddBlob(bytes)}";

        await Gen.Select(Range, Gen.OneOf("", "?sig=S3cret1", "?d=sha256:" + new string('0', 64))).SampleAsync(
            async (range, query) =>
            {
                var (status, offset, length) = Expect(range);
                await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);

                var answer = await connection.SendAsync("GET", $"/blobs/{url}{query}", "Range: " + range);

                Assert.Equal(status == 206 ? 206 : 416, answer.Status);
                if (status == 206)
                {
                    Assert.True(bytes.AsSpan(offset, length).SequenceEqual(answer.Body));
                    Assert.Equal($"bytes {offset}-{offset + length - 1}/{Size}", answer.Header("Content-Range"));
                }
            },
            iter: 100,
            threads: 1);
    }

    // RFC 9110, section 14, with numbers of any length: written without a look at how the node does it.
    private static (int Status, int Offset, int Length) Expect(string range)
    {
        var match = Form().Match(range);
        var (first, last) = (Parse(match.Groups["first"]), Parse(match.Groups["last"]));
        if (!match.Success || (first is null && last is null) || first > last && match.Groups["first"].Length > 0)
        {
            return (200, 0, Size);
        }

        // The node counts with 64 bits; what needs more is none of its ranges.
        if (first > long.MaxValue || last > long.MaxValue)
        {
            return (200, 0, Size);
        }

        if (first is null)
        {
            var count = (int)BigInteger.Min(last!.Value, Size);
            return count == 0 ? (416, 0, 0) : (206, Size - count, count);
        }

        return first >= Size ? (416, 0, 0) : (206, (int)first, (int)(BigInteger.Min(last ?? Size, Size - 1) - first.Value) + 1);

        static BigInteger? Parse(Group digits) => digits.Length > 0 ? BigInteger.Parse(digits.ValueSpan, CultureInfo.InvariantCulture) : null;
    }

    // The status, or null when the connection ended instead.
    private static async Task<int?> AskAsync(FacadeHost host, string request)
    {
        await using var connection = await host.ConnectAsync();
        try
        {
            await connection.WriteAsync(request);
            return (await connection.ReadHeadAsync()).Status;
        }
        catch (Exception e) when (e is EndOfStreamException or SocketException)
        {
            return null;
        }
    }

    private static byte[] Bytes()
    {
        var bytes = new byte[Size];
        new Random(1).NextBytes(bytes);
        return bytes;
    }

    private static Gen<string> Words(int most, params string[] words) =>
        Gen.Int[0, words.Length - 1].Array[0, most].Select(picks => (picks.Length == 0 ? words[0] : string.Empty) + string.Concat(picks.Select(i => words[i])));

    private static Gen<string> Number() => Gen.OneOf(
        Gen.Int[0, Size + 10].Select(number => $"{number}"),
        Gen.OneOf("0", "00", "007", $"{Size - 1}", $"{Size}", "9223372036854775807", "9223372036854775808", "99999999999999999999999999"));

    // Empty elements of the list do not count (section 5.6.1.2).
    [GeneratedRegex("^(?i:bytes)=([ \\t]*,[ \\t]*)*(?<first>[0-9]*)-(?<last>[0-9]*)([ \\t]*,[ \\t]*)*$", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Form();
}
