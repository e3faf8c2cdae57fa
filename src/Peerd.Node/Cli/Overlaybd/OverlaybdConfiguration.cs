using System.Runtime.Versioning;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>
/// Leads overlaybd to the facade, or takes that out again. What was there before is remembered beside overlaybd's
/// settings, so that it comes back byte for byte, whatever others have changed elsewhere in the file since.
/// </summary>
/// <param name="file">overlaybd's settings.</param>
/// <param name="warn">Takes a line for people on what is not as it should be, but keeps nothing from being done.</param>
[SupportedOSPlatform("linux")]
internal sealed class OverlaybdConfiguration(OverlaybdFile file, Action<string> warn)
{
    /// <summary>How often somebody else may change the file under our hands.</summary>
    private const int Attempts = 5;

    /// <summary>Turns p2p on at an address; does nothing when it is.</summary>
    /// <exception cref="OverlaybdException">It cannot be done; nothing was changed.</exception>
    public OverlaybdChange Configure(string address) => Repeat(() => TryConfigure(address));

    /// <summary>Takes out what <see cref="Configure"/> did; does nothing when the address is somebody else's.</summary>
    /// <param name="address">The address that counts as ours when nothing is remembered.</param>
    /// <exception cref="OverlaybdException">It cannot be done.</exception>
    public OverlaybdChange Remove(string address) => Repeat(() => TryRemove(address));

    private OverlaybdChange? TryConfigure(string address)
    {
        var (settings, current) = ReadSettings();
        if (current == new P2pSetting(true, address))
        {
            return new OverlaybdChange(file.FullPath, false, current, current, Backup());
        }

        var (memory, memoryBytes) = ReadMemory();
        var without = memory is not null && current.Address == memory.Address ? P2pSetting.TakeOut(settings, memory) : settings;
        var with = P2pSetting.TurnOn(without, address);
        var isFirst = Backup() is null;
        var isDone = false;
        try
        {
            if (isFirst)
            {
                file.WriteBeside(file.BackupPath, without.Bytes);
            }

            file.WriteBeside(file.MemoryPath, new OverlaybdMemory(without.ValueOf(P2pSetting.Section), with.ValueOf(P2pSetting.Section)!).ToBytes());
            isDone = file.TryReplace(settings.Bytes, with.Bytes);
        }
        finally
        {
            if (!isDone)
            {
                Undo(isFirst, memoryBytes);
            }
        }

        return isDone ? new OverlaybdChange(file.FullPath, true, current, P2pSetting.Of(with), file.BackupPath) : null;
    }

    private OverlaybdChange? TryRemove(string address)
    {
        var (settings, current) = ReadSettings();
        var (memory, _) = ReadMemory();
        var isOurs = current == new P2pSetting(true, address) || (memory is not null && current.Address == memory.Address);
        var without = isOurs ? P2pSetting.TakeOut(settings, memory) : settings;
        var isChanged = !without.Bytes.Span.SequenceEqual(settings.Bytes.Span);
        if (isChanged && !file.TryReplace(settings.Bytes, without.Bytes))
        {
            return null;
        }

        OverlaybdFile.DeleteBeside(file.MemoryPath);
        if (OverlaybdFile.ReadBeside(file.BackupPath) is { } backup && without.Bytes.Span.SequenceEqual(backup))
        {
            OverlaybdFile.DeleteBeside(file.BackupPath);
        }

        return new OverlaybdChange(file.FullPath, isChanged, current, P2pSetting.Of(without), Backup());
    }

    private OverlaybdChange Repeat(Func<OverlaybdChange?> attempt)
    {
        file.DeleteLeftovers(warn);
        for (var i = 0; i < Attempts; i++)
        {
            if (attempt() is { } change)
            {
                return change;
            }
        }

        throw new OverlaybdException($"{file.FullPath} is being changed by somebody else all the time; nothing was changed, try again later");
    }

    private (JsonObjectText Settings, P2pSetting Current) ReadSettings() => Parse(file.FullPath, string.Empty, () =>
    {
        var settings = new JsonObjectText(file.Read());
        return (settings, P2pSetting.Of(settings));
    });

    private (OverlaybdMemory? Memory, byte[]? Bytes) ReadMemory() => Parse(
        file.MemoryPath,
        "; delete it if what it remembers of the former p2pConfig is not needed",
        () => OverlaybdFile.ReadBeside(file.MemoryPath) is { } bytes ? (OverlaybdMemory.Parse(bytes), bytes) : ((OverlaybdMemory?)null, (byte[]?)null));

    private string? Backup() => File.Exists(file.BackupPath) ? file.BackupPath : null;

    private void Undo(bool isFirst, byte[]? memory)
    {
        if (isFirst)
        {
            OverlaybdFile.DeleteBeside(file.BackupPath);
        }

        if (memory is null)
        {
            OverlaybdFile.DeleteBeside(file.MemoryPath);
        }
        else
        {
            file.WriteBeside(file.MemoryPath, memory);
        }
    }

    private static T Parse<T>(string path, string advice, Func<T> parse)
    {
        try
        {
            return parse();
        }
        catch (FormatException exception)
        {
            throw new OverlaybdException($"{path} {exception.Message}{advice}", exception);
        }
    }
}

/// <summary>What was done to overlaybd's settings.</summary>
/// <param name="File">Where they are.</param>
/// <param name="IsChanged">False when there was nothing to do.</param>
/// <param name="Before">What they said of p2p.</param>
/// <param name="After">What they say now.</param>
/// <param name="Backup">The copy of the file without us that is beside it now, or null.</param>
internal sealed record OverlaybdChange(string File, bool IsChanged, P2pSetting Before, P2pSetting After, string? Backup);
