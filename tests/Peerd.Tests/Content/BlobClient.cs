using Peerd.Contracts;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>Reads below <c>/blobs</c> as overlaybd does.</summary>
internal static class BlobClient
{
    /// <summary>Where the registry of the mesh has it.</summary>
    public static string UrlOf(TestMesh mesh, SampleContent sample, string signature = "S3cretx") => UrlOf(mesh, sample.Digest, signature);

    /// <inheritdoc cref="UrlOf(TestMesh, SampleContent, string)"/>
    public static string UrlOf(TestMesh mesh, Digest digest, string signature = "S3cretx") => $"{mesh.Registry.Url}/v2/r/blobs/{digest}?sig={signature}";

    public static Task<RawConnection> ConnectAsync(TestNode node) => RawConnection.ConnectAsync(node.Client.BaseAddress!.Port);

    /// <summary>Reads a range on a connection of its own.</summary>
    public static async Task<RawAnswer> ReadAsync(TestNode node, string url, string range)
    {
        await using var connection = await ConnectAsync(node);
        return await connection.SendAsync("GET", $"/blobs/{url}", $"Range: {range}");
    }

    /// <summary>Reads everything in pieces that fit no boundary, on one connection; the test fails unless it is right.</summary>
    public static Task ReadAllAsync(TestNode node, string url, SampleContent sample) => ReadAllAsync(node, url, sample.Bytes);

    /// <inheritdoc cref="ReadAllAsync(TestNode, string, SampleContent)"/>
    public static async Task ReadAllAsync(TestNode node, string url, byte[] expected)
    {
        await using var connection = await ConnectAsync(node);
        for (var offset = 0; offset < expected.Length;)
        {
            var length = Math.Min(65_000, expected.Length - offset);
            var answer = await connection.SendAsync("GET", $"/blobs/{url}", $"Range: bytes={offset}-{offset + length - 1}");
            Assert.Equal(206, answer.Status);
            Assert.True(expected.AsSpan(offset, length).SequenceEqual(answer.Body), $"wrong between {offset} and {offset + length}");
            offset += length;
        }
    }
}
