namespace Peerd.EndToEnd.Harness;

/// <summary>Everything but peerd is proven here, so that a failure elsewhere is peerd's.</summary>
public sealed class HarnessTests : LabTest
{
    [Fact]
    public async Task Containerd_PullsFromRegistryDirectly_HasRightContentAndRegistryCountsIt()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 1, 3_000_000, 2_000_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var containerd = await Containerd.StartAsync(Lab, "c1");
        await containerd.UseMirrorAsync(registry.Name, registry.Endpoint);

        await containerd.PullAsync($"{registry.Name}/team/app:v1", PullTimeout);

        Assert.Empty(await containerd.FindWrongContentAsync(image.All));
        Assert.Equal(image.All.Select(part => part.Digest.ToString()).Order(), (await containerd.ListContentAsync()).Select(digest => digest.ToString()).Order());
        var read = registry.ReadSoFar();
        Assert.All(image.All, part => Assert.Equal(new DockerRegistry.Traffic(1, part.Size), read[part.Digest]));
    }

    [Fact]
    public async Task FindWrongContent_DamagedBlob_IsFound()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 2, 100_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var containerd = await Containerd.StartAsync(Lab, "c1");
        await containerd.UseMirrorAsync(registry.Name, registry.Endpoint);
        await containerd.PullAsync($"{registry.Name}/team/app:v1", PullTimeout);

        var file = Path.Combine(Lab.Folder, "c1/root/io.containerd.content.v1.content/blobs/sha256", image.Layers[0].Digest.Hex);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await using (var stream = File.OpenWrite(file))
        {
            stream.WriteByte((byte)~await FirstByteAsync(image.Layers[0].File));
        }

        var other = TestImage.Generate(Lab.CreateFolder("other"), seed: 3, 1000);
        Assert.Equal(2, (await containerd.FindWrongContentAsync([image.Layers[0], image.Config, other.Layers[0]])).Count);
    }

    [Fact]
    public async Task Pull_StoppedRegistry_Fails()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 4, 1000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        await registry.StopAsync();
        var containerd = await Containerd.StartAsync(Lab, "c1");
        await containerd.UseMirrorAsync(registry.Name, registry.Endpoint);

        var pull = await containerd.StartPullAsync($"{registry.Name}/team/app:v1");

        Assert.NotEqual(0, await pull.WaitForExitAsync(PullTimeout));
    }

    [Fact]
    public async Task SlowLink_PullInTheMiddle_IsSeenAndFinishes()
    {
        const int Layer = 4 << 20;
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 7, Layer);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        await using var link = new SlowLink(registry.Endpoint, Layer);
        var containerd = await Containerd.StartAsync(Lab, "c1");
        await containerd.UseMirrorAsync(registry.Name, link.Endpoint);

        var pull = await containerd.StartPullAsync($"{registry.Name}/team/app:v1");
        await Wait.UntilAsync("a quarter has passed", pull, () => Task.FromResult(link.Delivered > Layer / 4), PullTimeout);

        Assert.False(pull.HasExited);
        Assert.Equal(0, await pull.WaitForExitAsync(PullTimeout));
        Assert.Empty(await containerd.FindWrongContentAsync(image.All));
    }

    [Fact]
    public async Task Dispose_RunningProcesses_NothingIsLeft()
    {
        var lab = new Lab();
        await Containerd.StartAsync(lab, "c1");
        await DockerRegistry.StartAsync(lab);
        Assert.NotEmpty(Lab.ProcessesOf(lab.Folder));

        await lab.DisposeAsync();

        Assert.Empty(Lab.ProcessesOf(lab.Folder));
        Assert.False(System.IO.Directory.Exists(lab.Folder));
        Assert.DoesNotContain(lab.Folder, await File.ReadAllTextAsync("/proc/self/mountinfo"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Dispose_ProcessThatTheLabDoesNotKnow_IsReported()
    {
        var lab = new Lab();
        await using var stray = await RunningProcess.StartAsync("stray", "/usr/bin/tail", ["--retry", "-f", lab.Folder + "/none"]);

        // A process has begun a moment before its command line can be read.
        await Wait.UntilAsync("the process is seen", stray, () => Task.FromResult(Lab.ProcessesOf(lab.Folder).Count > 0), TimeSpan.FromSeconds(10));

        var error = await Assert.ThrowsAsync<InvalidOperationException>(async () => await lab.DisposeAsync());

        Assert.Contains($"{stray.Id} ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Generate_SameSeed_SameImage()
    {
        var one = TestImage.Generate(Lab.CreateFolder("one"), seed: 5, 10_000, 20_000, 30_000);
        var two = TestImage.Generate(Lab.CreateFolder("two"), seed: 5, 10_000, 20_000, 30_000);
        var three = TestImage.Generate(Lab.CreateFolder("three"), seed: 6, 10_000, 20_000, 30_000);

        Assert.Equal(one.Index.Digest, two.Index.Digest);
        Assert.NotEqual(one.Index.Digest, three.Index.Digest);
    }

    private static async Task<byte> FirstByteAsync(string file)
    {
        var buffer = new byte[1];
        await using var stream = File.OpenRead(file);
        await stream.ReadExactlyAsync(buffer);
        return buffer[0];
    }
}
