using Archipelago.Runtime;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>What a predecessor had open for users who have died, too.</summary>
internal sealed partial class VolumeService
{
    /// <summary>
    /// Closes the volumes that this port has open for writing for nobody, as after the kill of a whole host's processes: else this segment would keep their locks for ever.
    /// Whoever lives and has one open, be it idle, is a user of its flow.
    /// </summary>
    internal async Task CloseLeftAsync()
    {
        for (uint flow = 1; flow < (uint)_context.Segment.FlowCount && !IsStopping; flow++)
        {
            if (!IsLeft(flow) || !VolumeKey.TryParse(FlowTable.NameOf(_context.Segment, flow), out var key) || key.IsReadOnly) continue;
            var volume = await Table.EnterAsync(key);
            try
            {
                if (IsStopping || volume.IsLoaded || volume.Openers.Total > 0 || !IsLeft(flow)) continue;
                await _maps.RunAsync(Xseg.XsegOp.Close, key.Name, NewIdentity());
                _context.Log.LogInformation("volume {Volume}: it was open for users who have died; it is closed", volume.Name);
            }
            catch (ErrnoException failed)
            {
                _context.Log.LogWarning("volume {Volume}: it is open for users who have died, and cannot be closed: {Error}; `archipelago volume close {Name}` tries it again", volume.Name, failed.Message, volume.Name);
            }
            finally
            {
                Table.Leave(volume);
            }
        }
    }

    /// <summary>
    /// Under the gate. That a volume was lost to another host is kept for those who had it open; when nobody has any more, as they died before, it stands in nobody's way.
    /// </summary>
    private async ValueTask ForgetUnusedLossAsync(Volume volume)
    {
        uint flow = FlowTable.Find(_context.Segment, volume.NameBytes);
        if (volume.IsReadOnly || flow == 0 || !IsLost(flow) || volume.Openers.Total > 0 || FlowUse.HasOthers(_context.Segment, flow, _context.Port.Number)) return;
        try
        {
            if (volume.IsLoaded) await EndAsync(volume);
            else await _maps.RunAsync(Xseg.XsegOp.Close, volume.Key.Name, NewIdentity());
        }
        catch (ErrnoException told) when (told.Errno == Errno.ESTALE)
        {
            // That is what is known already.
        }
    }

    private unsafe bool IsLeft(uint flow) =>
        _context.Segment.FlowAt(flow) is var entry && entry != null && entry->Namespace == FlowSpace.Data && entry->OpenBy == _context.Port.Number + 1
        && !FlowUse.HasOthers(_context.Segment, flow, _context.Port.Number);
}
