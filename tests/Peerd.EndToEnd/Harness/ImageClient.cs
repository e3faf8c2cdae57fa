namespace Peerd.EndToEnd.Harness;

/// <summary>The ways in which images get into a containerd.</summary>
public enum ImageClient
{
    /// <summary><c>ctr images pull</c>.</summary>
    Ctr,

    /// <summary>Kubelet's <c>PullImage</c>.</summary>
    Cri,
}
