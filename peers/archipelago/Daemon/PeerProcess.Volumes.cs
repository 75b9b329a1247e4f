using System.Text;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Cli.Daemon;

/// <summary>What operators ask for: volumes. On threads of the control plane.</summary>
internal sealed partial class PeerProcess
{
    private static readonly TimeSpan ControlLimit = TimeSpan.FromSeconds(25);
    private const int ListChunk = 64 << 10;

    private string VolumesRoute => RouteOf("vlmcd", "volumes");
    private bool HasVolumes => _made.Any(m => m.Kind.Name == "vlmcd");

    private string RouteOf(string kind, string otherwise) =>
        PeerCatalogue.Kinds.FirstOrDefault(k => k.Name == kind) is { Serves: { } serves } known ? _config.Config[known.Section].Get(serves) : otherwise;

    internal async Task<IReadOnlyList<string>> VolumeNamesAsync()
    {
        if (_standsAlone && !HasVolumes) return [];
        long length = (await _operator.AskAsync(VolumesRoute, XsegOp.Info, "", ControlLimit)).OrThrow("the list of volumes").Serviced;
        var text = new MemoryStream();
        while (text.Length < length)
        {
            long part = Math.Min(ListChunk, length - text.Length);
            text.Write((await _operator.AskAsync(VolumesRoute, XsegOp.Read, "", ControlLimit, part, text.Length)).OrThrow("the list of volumes").Data);
        }

        return Encoding.UTF8.GetString(text.ToArray()).Split(['\n', '\0'], StringSplitOptions.RemoveEmptyEntries);
    }

    internal async Task<VolumeInfo> VolumeAsync(string name)
    {
        var info = (await _operator.AskAsync(VolumesRoute, XsegOp.Info, name, ControlLimit)).OrThrow($"volume '{name}'");
        return new VolumeInfo(name, info.Serviced, Greeting.Uris(_config, name));
    }

    internal async Task<VolumeList> VolumesAsync()
    {
        var found = new List<VolumeInfo>();
        foreach (string name in await VolumeNamesAsync())
        {
            var info = await _operator.AskAsync(VolumesRoute, XsegOp.Info, name, ControlLimit);
            // Deleted since the list was read.
            if (info.Status != Errno.ENOENT) found.Add(new VolumeInfo(name, info.OrThrow($"volume '{name}'").Serviced, Greeting.Uris(_config, name)));
        }

        return new VolumeList(found);
    }

    internal async Task<VolumeInfo> CreateVolumeAsync(VolumeCreate request)
    {
        CheckName(request.Name);
        if (request.Size <= 0 || request.Size % 512 != 0)
            throw new ErrnoException(Errno.EINVAL, $"size of volume '{request.Name}': expected a multiple of 512 bytes above 0, found {request.Size}");
        (await _operator.AskAsync(VolumesRoute, XsegOp.Create, request.Name, ControlLimit, request.Size)).OrThrow($"volume '{request.Name}' cannot be created");
        return await VolumeAsync(request.Name);
    }

    internal async Task<VolumeInfo> ResizeVolumeAsync(string name, long size)
    {
        CheckName(name);
        if (size <= 0 || size % 512 != 0) throw new ErrnoException(Errno.EINVAL, $"size of volume '{name}': expected a multiple of 512 bytes above 0, found {size}");
        (await _operator.AskAsync(VolumesRoute, XsegOp.Truncate, name, ControlLimit, size)).OrThrow($"volume '{name}' cannot be resized");
        return await VolumeAsync(name);
    }

    internal async Task DeleteVolumeAsync(string name)
    {
        CheckName(name);
        var answer = await _operator.AskAsync(VolumesRoute, XsegOp.Delete, name, ControlLimit);
        if (answer.Status == Errno.EBUSY) throw new ErrnoException(Errno.EBUSY, $"volume '{name}' is open; disconnect its clients first");
        answer.OrThrow($"volume '{name}' cannot be deleted");
    }

    internal IReadOnlyList<FlowInfo> Flows() => SegmentView.Flows(_segment);

    private static void CheckName(string name)
    {
        const int Longest = 89;
        bool good = name.Length is > 0 and <= Longest && name[0] != '.' && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
        if (!good) throw new ErrnoException(Errno.EINVAL, $"name of a volume: expected 1 to {Longest} of [A-Za-z0-9._-], not beginning with a dot, found {Runtime.Configuration.ConfigError.Quote(name)}");
    }
}
