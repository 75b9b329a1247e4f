using System.Text.Json;
using Archipelago.Cli.Daemon;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands.Images;

/// <summary>What of an import or export is done, in a file, so that another run can go on. Done: bytes from the start on that are stable.</summary>
internal sealed record TransferState(string Volume, string VolumeId, string File, string Format, long Size, long FileBytes, DateTimeOffset FileWritten, long Done)
{
    /// <summary>Null if there is no such file.</summary>
    /// <exception cref="ErrnoException">EIO: it makes no sense.</exception>
    internal static TransferState? Load(string path)
    {
        if (!System.IO.File.Exists(path)) return null;
        try
        {
            if (JsonSerializer.Deserialize(System.IO.File.ReadAllBytes(path), DaemonJson.Default.TransferState) is { Done: >= 0 } state && state.Done <= state.Size) return state;
        }
        catch (JsonException)
        {
            // The same as numbers that make no sense.
        }

        throw new ErrnoException(Errno.EIO, $"{path}: what was done so far cannot be read from it; delete it, and what it was about, and begin anew");
    }

    /// <summary>Writes it as a whole or not at all.</summary>
    internal void Save(string path)
    {
        using (var file = new FileStream(path + ".new", FileMode.Create, FileAccess.Write))
        {
            JsonSerializer.Serialize(file, this, DaemonJson.Default.TransferState);
            file.Flush(flushToDisk: true);
        }

        System.IO.File.Move(path + ".new", path, overwrite: true);
    }
}
