using System.Collections;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Mesh;

/// <summary>
/// Of a message that was applied nothing is kept that can be long, whatever the protocol comes to say: of those that are read on streams which
/// may be silent for long, and that may be as long as any. Who asks for a range may send no long message, and what a node answers to
/// announcements has one long field, which is emptied where it is read.
/// </summary>
public sealed class ForgottenMessagesTests
{
    [Fact]
    public void Forget_WhatAnOwnerPushed_NothingLongIsLeft() => AssertForgotten<LookupResponse>(OwnerLink.Forget);

    [Fact]
    public void Forget_WhatWasAnnounced_NothingLongIsLeft() => AssertForgotten<AnnounceRequest>(PeerServer.Forget);

    // So the server forgets what was asked.
    [Fact]
    public void ClearMessage_WhatWasAsked_NothingLongIsLeft() => AssertForgotten<LookupRequest>(static request => request.ClearMessage());

    private static void AssertForgotten<T>(Action<T> forget)
        where T : IMessage, new()
    {
        var message = new T();
        foreach (var field in message.Descriptor.Fields.InFieldNumberOrder().Where(IsLong))
        {
            Fill(message, field);
            Assert.True(IsFilled(message, field), field.Name);
        }

        forget(message);

        Assert.Empty(message.Descriptor.Fields.InFieldNumberOrder().Where(field => IsLong(field) && IsFilled(message, field)).Select(field => field.Name));
    }

    private static bool IsLong(FieldDescriptor field) => field.IsRepeated || field.FieldType is FieldType.String or FieldType.Bytes or FieldType.Message;

    private static bool IsFilled(IMessage message, FieldDescriptor field) =>
        field.Accessor.GetValue(message) is not (null or "" or ICollection { Count: 0 } or ByteString { IsEmpty: true });

    private static void Fill(IMessage message, FieldDescriptor field)
    {
        if (field.IsRepeated)
        {
            ((IList)field.Accessor.GetValue(message)).Add(ValueOf(field));
        }
        else
        {
            field.Accessor.SetValue(message, ValueOf(field));
        }
    }

    private static object ValueOf(FieldDescriptor field) => field.FieldType switch
    {
        FieldType.String => "long",
        FieldType.Bytes => ByteString.CopyFrom(1),
        FieldType.Message => field.MessageType.Parser.ParseFrom([]),
        FieldType.UInt32 => 1U,
        FieldType.Fixed64 => 1UL,
        var other => throw new NotSupportedException($"a value for '{field.Name}', of type {other}"),
    };
}
