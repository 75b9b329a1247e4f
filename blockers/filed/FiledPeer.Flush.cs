using System.Runtime.CompilerServices;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Filed;

/// <summary>
/// FLUSH: fdatasync of what the flow has changed, and of the directories with its new entries. A failure is told to every flow
/// that it concerns, at least once, and what failed stays dirty: the kernel itself forgets (fsyncgate).
/// </summary>
public sealed partial class FiledPeer
{
    private readonly Dictionary<uint, int> _owed = [];
    private InheritedWrites _inherited = null!;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FlushAsync(uint flow)
    {
        if (_pool == null) return XsegErrno.ESHUTDOWN;
        List<ValueTask<int>>? syncs = null;
        ValueTask<int> first = default;
        // All are started at once; those that a request alone uses wait for it, as anybody would.
        int count = _dirty.Count, started = 0;
        for (int i = 0; i < count; i++)
        {
            var dirty = _dirty[i];
            if (flow != 0 && !dirty.Flows.Contains(flow)) continue;
            var sync = SyncObject(dirty);
            if (started++ == 0) first = sync;
            else (syncs ??= []).Add(sync);
        }

        int status = await _inherited.FlushAsync(flow);
        if (started > 0) status = Worse(status, await first);
        foreach (var sync in syncs ?? []) status = Worse(status, await sync);
        // Ours, by these or by an earlier sync in the background.
        if (_owed.Remove(flow, out int owed)) status = Worse(status, owed);
        return status;
    }

    private static int Worse(int status, int other) => status != 0 ? status : other;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> SyncAll()
    {
        var job = Rent(JobKind.SyncAll, default);
        int status = await Perform(job);
        if (status != 0) Report(job, status);
        Return(job);
        return status;
    }

    /// <summary>Makes stable what was changed before this call.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> SyncObject(StoredObject dirty)
    {
        var job = Rent(JobKind.SyncObject, default);
        (job.Writes, job.Entries) = (dirty.Writes, dirty.Entries);
        (job.DataChanged, job.EntryChanged) = (dirty.Writes != dirty.WritesStable, dirty.Entries != dirty.EntriesStable);
        Enter(job, dirty, HoldKind.Sync, 0, 0);
        int status = await Perform(job);
        // Somebody else's sync took the kernel's word that ours would have had.
        if (TellSyncFailures(dirty, status) && status == 0) status = XsegErrno.EIO;
        if (status == 0)
        {
            dirty.WritesStable = Math.Max(dirty.WritesStable, job.Writes);
            dirty.EntriesStable = Math.Max(dirty.EntriesStable, job.Entries);
            if (!dirty.IsDirty) Clean(dirty);
        }
        else
        {
            Report(job, status);
            Owe(dirty, status);
        }

        Leave(job);
        Return(job);
        return status;
    }

    /// <summary>True if a sync of the object's data failed, be it for a FUA, and its flows have not been told yet.</summary>
    private bool TellSyncFailures(StoredObject of, int status)
    {
        int failures = of.SyncFailures;
        if (failures == of.SyncFailuresTold) return false;
        of.SyncFailuresTold = failures;
        Owe(of, status != 0 ? status : XsegErrno.EIO);
        return true;
    }

    private void Owe(StoredObject lost, int status)
    {
        // Without a flow nothing was acknowledged: the change that wanted it stable (FUA) has failed.
        if (lost.Flows.Count == 0) Context.Log.LogError("{Path}: cannot be made stable: {Cause}; nothing that was acknowledged is lost", lost.Path, Errno.Describe(status));
        else Context.Log.LogCritical("{Path}: data of {Count} flows may be lost: every one of them is told at its next FLUSH", lost.Path, lost.Flows.Count);
        foreach (uint flow in lost.Flows) _owed[flow] = status;
        _owed[0] = status;
    }

    private void Clean(StoredObject clean)
    {
        clean.Flows.Clear();
        Unlist(clean);
    }
}
