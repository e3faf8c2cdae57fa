using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>Writes whole small answers: errors as OCI JSON, and the API version.</summary>
internal static class RegistryAnswer
{
    /// <summary>Key of <see cref="HttpContext.Items"/>: true when the client may be asked for the registry's password.</summary>
    public const string TakesPasswords = "peerd.takes-passwords";

    private static readonly byte[] EmptyObject = "{}"u8.ToArray();

    /// <summary>True when the client sends, or may send, a body.</summary>
    public static bool HasRequestBody(HttpContext context) =>
        context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: true };

    /// <summary>Headers that every answer has.</summary>
    public static void Prepare(HttpContext context)
    {
        context.Response.Headers[RegistryHeaders.ApiVersion] = "registry/2.0";
        context.Response.Headers[FacadeRequest.IdHeader] = context.TraceIdentifier;
        if (HasRequestBody(context))
        {
            // Nobody reads that body, so the connection ends with this answer.
            context.Response.Headers.Connection = "close";
        }
    }

    /// <summary>The answer to <c>/v2/</c>: yes, this speaks the registry API.</summary>
    public static Task WriteVersionAsync(HttpContext context) => WriteAsync(context, EmptyObject);

    /// <summary>An error. What the answer held before is dropped; it must not have started.</summary>
    public static Task WriteErrorAsync(HttpContext context, RegistryError error, (string Name, string Value)? header = null)
    {
        if (error.Challenge is { } asked && BearerChallenge.IsBasic(asked) && context.Items[TakesPasswords] is not true)
        {
            // The client would send the password here in clear text. Told that there is nothing, it goes to the registry.
            error = RegistryError.NotFound(RegistryError.Unauthorized, error.Message);
        }

        context.Response.Clear();
        Prepare(context);
        context.Response.StatusCode = (int)error.Status;
        FacadeRequest.Failed(context, error.Message);
        if (header is var (name, value))
        {
            context.Response.Headers[name] = value;
        }

        if (error.Challenge is { } challenge)
        {
            context.Response.Headers.WWWAuthenticate = challenge.ToString();
        }

        if (error.RetryAfter is { } pause)
        {
            var seconds = Math.Clamp(Math.Ceiling(pause.TotalSeconds), 1, 86400);
            context.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        }

        return WriteAsync(context, Serialize(error));
    }

    private static ReadOnlyMemory<byte> Serialize(RegistryError error)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartArray("errors");
        json.WriteStartObject();
        json.WriteString("code", error.Code);
        json.WriteString("message", error.Message);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenMemory;
    }

    private static Task WriteAsync(HttpContext context, ReadOnlyMemory<byte> body)
    {
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = body.Length;
        return HttpMethods.IsHead(context.Request.Method)
            ? Task.CompletedTask
            : context.Response.BodyWriter.WriteAsync(body, context.RequestAborted).AsTask();
    }
}
