namespace Peerd.EndToEnd.Harness;

/// <summary>Images as people handle them, with <c>ctr</c>.</summary>
internal sealed class CtrImages(Containerd containerd, string hostsFolder) : IImageClient
{
    private static readonly TimeSpan RemovalTimeout = TimeSpan.FromSeconds(30);

    /// <inheritdoc />
    public string Namespace => "default";

    /// <inheritdoc />
    public async Task<string?> PullAsync(string reference, RegistryLogin? login, TimeSpan timeout)
    {
        var process = await StartPullAsync(reference, login);
        return await process.WaitForExitAsync(timeout) == 0 ? null : process.Tail();
    }

    /// <inheritdoc />
    public async Task RemoveAsync(string reference) =>
        await containerd.RunCtrAsync("remove", RemovalTimeout, "images", "remove", "--sync", reference);

    /// <summary>Begins a pull.</summary>
    /// <returns>The process of <c>ctr</c>; wait for its end.</returns>
    public Task<RunningProcess> StartPullAsync(string reference, RegistryLogin? login) => containerd.StartCtrAsync("pull",
        ["images", "pull", "--hosts-dir", hostsFolder, "--snapshotter", ContainerdSetup.Snapshotter, .. login is null ? [] : (string[])["--user", $"{login.User}:{login.Password}"], reference]);
}
