using Archipelago.Xseg;

namespace Archipelago.Cached.Tests.Model;

/// <summary>A volume that another host has had meanwhile: what was not flushed is gone, or is not.</summary>
internal sealed partial class Storm
{
    /// <summary>True if nothing of the flow is under way.</summary>
    private bool MayInvalidate(uint flow) =>
        !_invalidating[flow] && _flushing[flow] == 0 && Array.TrueForAll(_objects, of => of.Flow != flow || of is { Pending: 0, Alone: false });

    private async Task InvalidateAsync(uint flow)
    {
        _invalidating[flow] = true;
        foreach (var of in _objects)
            if (of.Flow == flow) of.Alone = true;
        var reply = await Rig.Client.IssueAsync(XsegOp.Invalidate, flow, "");
        Require(reply.Status == 0 || MayFail(reply.Status), $"INVALIDATE of flow {flow}: errno {reply.Status}");
        foreach (var of in _objects)
        {
            if (of.Flow != flow) continue;
            await FindOutAsync(of);
            (of.SizeKnown, of.Alone) = (false, false);
        }

        _invalidating[flow] = false;
    }

    /// <summary>Of a flow that is in use: it may have effect or be refused, and nobody may see either.</summary>
    private async Task RetireAsync(uint flow)
    {
        var reply = await Rig.Client.IssueAsync(XsegOp.Retire, flow, "");
        Require(reply.Status is 0 or XsegErrno.EBUSY || MayFail(reply.Status), $"RETIRE of flow {flow}: errno {reply.Status}");
    }

    /// <summary>What the blocker has is what is true from here on; it may be older than what was answered, but not than what was flushed.</summary>
    private async Task FindOutAsync(ObjectModel of)
    {
        const int Most = 256;
        for (int first = 0; first < of.Sectors; first += Most)
        {
            int count = Math.Min(Most, of.Sectors - first);
            Reply reply;
            while ((reply = await Rig.Client.ReadAsync(of.Flow, of.Name, (ulong)first * 512, (ulong)count * 512, own: true, route: Rig.Client.Blocks)).Status != 0)
            {
                Require(MayFail(reply.Status), $"READ of the blocker: errno {reply.Status}");
                await Rig.Client.Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
            }

            for (int i = 0; i < count; i++)
            {
                var stamp = ObjectModel.StampOf(reply.Data.AsSpan(i * 512, 512));
                Require(stamp != null, $"{of.Name} sector {first + i} is torn in the blocker after INVALIDATE");
                Require(of.Registers[first + i].Survived(stamp!.Value), $"{of.Name} sector {first + i} is {stamp} after INVALIDATE: {of.Registers[first + i]}");
            }
        }
    }
}
