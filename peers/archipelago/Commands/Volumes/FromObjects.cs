using System.Text;
using Archipelago.Cli.CommandLine;
using Archipelago.Mapperd;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume create --from-objects`: a volume of copies of objects that the store holds already.</summary>
internal static class FromObjects
{
    internal static readonly CliOption Option = new(
        "--from-objects", "FILE",
        "Makes it of copies of objects that the store holds, one name per line in the volume's order, an empty line or `-` for a hole; `-` as FILE reads standard input. What the list does not reach is blank. Names of volumes' own objects are refused.");

    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    internal static async Task<int> CreateAsync(Invocation invocation, string name, ulong? size, int? objectSize, CancellationToken cancel)
    {
        string file = invocation.Get("--from-objects")!;
        var names = await ReadAsync(file, cancel);
        if (names.Count == 0 && size == null) throw new ErrnoException(Errno.EINVAL, $"{(file == "-" ? "standard input" : file)}: the list names no object, and so no size: list objects, or say SIZE for a blank volume");
        var request = new AssembleRequest(names, size, objectSize);
        using (var progress = new StepProgress())
        {
            await VolumeHosts.StreamAsync(
                invocation, $"/v1/volumes/{name}/assemble", request, MapperdJson.Default.AssembleRequest, MapperdJson.Default.AssembleItem,
                item => progress.Report($"{name}: {item.Step}", item.Done, item.Of), cancel, MapperdPeer.MaxListBytes);
        }

        return await VolumeInfoView.ShowAsync(invocation, new VolumeName(name, null), cancel);
    }

    private static async Task<List<string?>> ReadAsync(string file, CancellationToken cancel)
    {
        byte[] bytes;
        try
        {
            using var content = new MemoryStream();
            await using (var from = file == "-" ? Console.OpenStandardInput() : File.OpenRead(file)) await from.CopyToAsync(content, cancel);
            bytes = content.ToArray();
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException)
        {
            throw new ErrnoException(failed is FileNotFoundException or DirectoryNotFoundException ? Errno.ENOENT : failed is UnauthorizedAccessException ? Errno.EACCES : Errno.EIO, $"{file}: the list of objects cannot be read: {failed.Message}", failed);
        }

        var names = new List<string?>();
        for (int at = 0; at < bytes.Length;)
        {
            int end = Array.IndexOf(bytes, (byte)'\n', at);
            if (end < 0) end = bytes.Length;
            var line = bytes.AsSpan(at, end - at);
            if (line.EndsWith("\r"u8)) line = line[..^1];
            names.Add(line.IsEmpty || line.SequenceEqual("-"u8) ? null : Decode(line, file, names.Count + 1));
            at = end + 1;
        }

        return names;
    }

    private static string Decode(ReadOnlySpan<byte> line, string file, int number)
    {
        try
        {
            return Strict.GetString(line);
        }
        catch (DecoderFallbackException)
        {
            throw new ErrnoException(Errno.EINVAL, $"{file}:{number}: the name is no UTF-8; such objects can be named by a peer only (CREATE with LIST)");
        }
    }
}
