using Archipelago.Runtime;
using Archipelago.Simulation;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cached.Tests.Model;

/// <summary>Who dies in a storm and comes back, and changes of policy.</summary>
internal sealed partial class Storm
{
    private enum Victim
    {
        Cache,
        Blocker,
        Client,
    }

    private SimProcess ProcessOf(Victim victim) => victim switch
    {
        Victim.Cache => Rig.CacheProcess,
        Victim.Blocker => Rig.BlocksProcess,
        _ => Rig.ClientProcess,
    };

    /// <summary>True if somebody was dead.</summary>
    private bool Revive()
    {
        if (!Rig.CacheProcess.IsAlive) Rig.RestartCache();
        else if (!Rig.BlocksProcess.IsAlive) Rig.RestartBlocks();
        else if (!Rig.ClientProcess.IsAlive) ReviveClient();
        else return false;
        return true;
    }

    /// <summary>The successor is bound only when nothing that the dead one had asked for can take effect any more.</summary>
    private void ReviveClient()
    {
        // What the dead one had asked for may wait for room, which errors of the blocker never let come.
        Rig.Memd.Change(_calm);
        Rig.RestartClient();
        long now = ++_clock;
        foreach (var (target, source) in _copies)
            TakeOver(target, source, now, false);
        foreach (var of in _objects)
        {
            if (of.Pending > 0 || of.Alone) of.SizeKnown = false;
            (of.Pending, of.PendingResizes, of.Alone) = (0, 0, false);
            foreach (var register in of.Registers) register.Abandon(now);
        }

        _copies.Clear();
        Array.Clear(_flushing);
        _busy = 0;
    }

    private unsafe void ForgetFlush(uint flow) => Rig.CacheProcess.Segment.FlowAt(flow)->HasFlushed = 0;

    private void ChangePolicy()
    {
        uint flow = 1 + (uint)_random.Next(3);
        // What OPEN does.
        if (_random.Next(4) == 0) ForgetFlush(flow);
        var change = new CachePolicyChange($"flow{flow}", Pick("writeback", "writeback", "writethrough", "off", "default"), Pick(true, true, false));
        var cached = Rig.Cached;
        _ = Rig.CacheProcess.Reactor.Run(async () =>
        {
            try
            {
                await cached.ChangePolicy(change);
            }
            catch (ErrnoException failed) when (MayFail(failed.Errno))
            {
            }
            catch (Exception failure) when (failure is not CrashException)
            {
                _failure ??= failure;
            }
        });
    }
}
