using System.Text;
using Archipelago.Cli.Peers;
using Archipelago.Xseg;

namespace Archipelago.Cli.Daemon;

/// <summary>What the process itself wants of its volumes.</summary>
internal sealed partial class PeerProcess
{
    private static readonly TimeSpan ControlLimit = TimeSpan.FromSeconds(25);
    private const int ListChunk = 64 << 10;

    private string VolumesRoute => _config.RouteOf(ServiceKinds.Vlmcd)!;
    private bool HasVolumes => _made.Any(m => m.Kind == ServiceKinds.Vlmcd);

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

    internal IReadOnlyList<FlowInfo> Flows() => SegmentView.Flows(_segment);
}
