using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Commands.Volumes;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands.Images;

/// <summary>A volume or snapshot as a gateway of this host exports it.</summary>
internal sealed record NbdExport(string Name, string Server)
{
    /// <summary>The export of a volume, of the first gateway that is found; a Unix socket goes first.</summary>
    /// <exception cref="ErrnoException">ENOENT: there is no gateway.</exception>
    internal static async Task<NbdExport> FindAsync(Invocation invocation, string name)
    {
        var uris = VolumeHosts.UrisOf(await VolumeHosts.UrisAsync(invocation), name);
        if (uris.FirstOrDefault(uri => uri.StartsWith("nbd+unix:", StringComparison.Ordinal)) is { } local)
            return new NbdExport(name, $"file.server.type=unix,file.server.path={QemuImg.Escape(Uri.UnescapeDataString(local[(local.IndexOf("socket=", StringComparison.Ordinal) + 7)..]))}");
        if (uris.FirstOrDefault() is { } remote && Uri.TryCreate(remote, UriKind.Absolute, out var parsed))
            return new NbdExport(name, $"file.server.type=inet,file.server.host={parsed.Host.Trim('[', ']')},file.server.port={parsed.Port}");
        throw new ErrnoException(
            Errno.ENOENT, $"no NBD gateway of state directory {Common.StateOf(invocation).Path} answers, through which images are moved; start one: `archipelago run nbd`, or [nbd] in the configuration");
    }

    /// <summary>A part of it, as a node for --image-opts.</summary>
    internal string Node(long offset, long length) => $"driver=raw,offset={offset},size={length},file.driver=nbd,{Server},file.export={QemuImg.Escape(Name)}";
}
