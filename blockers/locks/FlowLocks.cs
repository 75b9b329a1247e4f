using System.Runtime.CompilerServices;
using Archipelago.Runtime.Hosting;
using Archipelago.Xseg.Memory;

namespace Archipelago.Locks;

/// <summary>
/// The gate of a blocker: which flows may change something, as far as this instance has verified. A flow with a lock epoch passes while the
/// lock with that id was seen to have that epoch, with this instance's address in it; one without passes always. One reactor.
/// </summary>
public sealed unsafe class FlowLocks(Segment segment, IClock clock)
{
    /// <summary>For <see cref="Verified"/>: until this instance is fenced, or told that the lock is gone.</summary>
    public const long Forever = long.MaxValue;
    private const long Unknown = 0, Stale = -1;

    private readonly Entry[] _flows = new Entry[segment.FlowCount];

    /// <summary>Whether a change of the flow may be sent now; else it must be verified first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Passes(uint flow)
    {
        var entry = segment.FlowAt(flow);
        // Requests of no such flow are refused at accept; of one that says so later nothing is let through.
        if (entry == null) return false;
        ulong epoch = Volatile.Read(ref entry->LockEpoch);
        return epoch == 0 || IsVerified(_flows[flow], epoch, Volatile.Read(ref entry->LockId));
    }

    /// <summary>Until when the flow passes, in CLOCK_BOOTTIME nanoseconds; 0: for as long as nobody says otherwise.</summary>
    public long PassesUntil(uint flow)
    {
        var entry = segment.FlowAt(flow);
        return entry == null || Volatile.Read(ref entry->LockEpoch) == 0 || _flows[flow].Until == Forever ? 0 : _flows[flow].Until;
    }

    /// <summary>The lock that a flow's changes need; false if there is no such flow.</summary>
    public bool TryGet(uint flow, out ulong id, out ulong epoch)
    {
        var entry = segment.FlowAt(flow);
        (id, epoch) = entry == null ? default : (Volatile.Read(ref entry->LockId), Volatile.Read(ref entry->LockEpoch));
        return entry != null;
    }

    /// <summary>Whether the flow's lock is known to be lost. That is for ever: an epoch does not come back.</summary>
    public bool IsStale(uint flow, ulong id, ulong epoch)
    {
        ref var known = ref _flows[flow];
        return known.Id == id && (epoch < known.Epoch || (epoch == known.Epoch && known.Until == Stale));
    }

    /// <summary>The flow's lock has this epoch, and changes of the flow may pass until then (<see cref="Forever"/>).</summary>
    public void Verified(uint flow, ulong id, ulong epoch, long until)
    {
        if (id != 0 && flow < _flows.Length) _flows[flow] = new Entry { Id = id, Epoch = epoch, Until = until };
    }

    /// <summary>The lock has gone on from the epoch: no change under it may pass, of any flow.</summary>
    public void Revoke(ulong id, ulong epoch)
    {
        for (uint flow = 1; flow < _flows.Length; flow++)
        {
            if (!TryGet(flow, out ulong of, out ulong wants) || id == 0) continue;
            ref var known = ref _flows[flow];
            if (known.Id == id && known.Epoch <= epoch) (known.Epoch, known.Until) = (epoch, Stale);
            else if (known.Id != id && of == id && wants != 0) known = new Entry { Id = id, Epoch = epoch, Until = Stale };
        }
    }

    /// <summary>What is known of the lock is forgotten: its flows are verified anew.</summary>
    public void Forget(ulong id)
    {
        foreach (ref var known in _flows.AsSpan())
            if (known.Id == id) known.Until = Unknown;
    }

    /// <summary>This instance is another one from now on: every flow is verified anew. What is known to be lost stays so.</summary>
    public void ForgetAll()
    {
        foreach (ref var known in _flows.AsSpan())
            if (known.Until != Stale) known.Until = Unknown;
    }

    /// <summary>The flows that have anything to do with the lock.</summary>
    public List<uint> Of(ulong id)
    {
        var found = new List<uint>();
        for (uint flow = 1; flow < _flows.Length; flow++)
            if (id != 0 && (_flows[flow].Id == id || (TryGet(flow, out ulong of, out ulong epoch) && of == id && epoch != 0))) found.Add(flow);
        return found;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsVerified(in Entry known, ulong epoch, ulong id) =>
        known.Epoch == epoch && known.Id == id && (known.Until == Forever || (known.Until > 0 && clock.BoottimeNanoseconds < known.Until));

    private struct Entry
    {
        internal ulong Id, Epoch;
        internal long Until;
    }
}
