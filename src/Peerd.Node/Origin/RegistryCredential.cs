namespace Peerd.Node.Origin;

/// <summary>What the operator gave this node for a registry.</summary>
/// <param name="User">User name; without meaning for an identity token.</param>
/// <param name="Secret">Password, or the identity token.</param>
/// <param name="IsIdentityToken">The secret is a refresh token, good at the token server only.</param>
internal sealed record RegistryCredential(string User, string Secret, bool IsIdentityToken)
{
    /// <summary>Value of an Authorization header.</summary>
    public string Basic => $"Basic {Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes($"{User}:{Secret}"))}";

    public override string ToString() => "a credential";
}
