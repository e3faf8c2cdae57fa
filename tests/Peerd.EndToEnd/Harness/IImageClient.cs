namespace Peerd.EndToEnd.Harness;

/// <summary>Images of one containerd, as one kind of client sees them. Thread-safe.</summary>
internal interface IImageClient
{
    /// <summary>Where containerd keeps the images of this kind of client.</summary>
    string Namespace { get; }

    /// <summary>Pulls and unpacks an image.</summary>
    /// <param name="reference">By tag or digest.</param>
    /// <param name="login">Null: without credentials.</param>
    /// <param name="timeout">The pull is given up then.</param>
    /// <returns>Null when the image is there, else what went wrong.</returns>
    Task<string?> PullAsync(string reference, RegistryLogin? login, TimeSpan timeout);

    /// <summary>Removes an image with all contents that no other image needs.</summary>
    /// <param name="reference">As it was pulled.</param>
    Task RemoveAsync(string reference);
}
