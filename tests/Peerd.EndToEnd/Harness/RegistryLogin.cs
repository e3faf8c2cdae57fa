using System.Net.Http.Headers;
using System.Text;

namespace Peerd.EndToEnd.Harness;

/// <summary>A user of a private registry.</summary>
internal sealed record RegistryLogin(string User, string Password)
{
    /// <summary>The login as an HTTP header.</summary>
    public AuthenticationHeaderValue ToBasic() => new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{User}:{Password}")));
}
