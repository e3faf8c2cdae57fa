using Google.Protobuf.Reflection;
using Peerd.Contracts.V1;

namespace Peerd.Tests.Contracts;

public sealed class PeerProtocolTests
{
    // What a client brings, and the URL it gives, never leave the node.
    private static readonly string[] Secrets = ["auth", "cookie", "credential", "header", "password", "query", "secret", "sig", "token", "uri", "url"];

    [Fact]
    public void Messages_AnyField_HasNoPlaceForACredentialOrAUrl()
    {
        var fields = Want.Descriptor.File.MessageTypes.SelectMany(FieldsOf).ToList();

        Assert.True(fields.Count > 50);
        Assert.DoesNotContain(fields, static field => field.Name.Split('_').Any(word => Secrets.Any(secret => word.StartsWith(secret, StringComparison.Ordinal))));
    }

    private static IEnumerable<FieldDescriptor> FieldsOf(MessageDescriptor message) => message.Fields.InDeclarationOrder().Concat(message.NestedTypes.SelectMany(FieldsOf));
}
