using System.Runtime.CompilerServices;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Filed.Work;
using Archipelago.Locks;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Filed;

/// <summary>From a request to a job on an I/O thread and back. Nothing is allocated per request after warm-up.</summary>
public sealed partial class FiledPeer
{
    private const int MaxBackgroundSyncs = 4;
    private readonly List<StoredObject> _dirty = [];
    private int _backgroundSyncs;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> Run(Request request, HoldKind kind, ulong offset, ulong length)
    {
        if (_pool == null) return XsegErrno.ESHUTDOWN;
        if (!TryFind(request, out var target)) return request.Target.IsEmpty ? XsegErrno.EINVAL : Context.BadRequest();
        var job = Rent(JobKind.Request, request);
        Enter(job, target, kind, offset, length);
        int status = await (LockService.IsChange(request.Op) ? PerformChange(job) : Perform(job));
        status = Conclude(job, status);
        Return(job);
        return status;
    }

    private void Enter(FileJob job, StoredObject target, HoldKind kind, ulong offset, ulong length)
    {
        job.Object = target;
        job.SyncFailures = target.SyncFailures;
        job.Target.Enter(target, kind, offset, length);
        if (job.Kind != JobKind.Request || job.Request.Op != XsegOp.Copy) return;
        var name = job.Request.Source;
        var hash = Hash128.Of(name);
        job.SourceObject = _objects.Find(hash, name) ?? _objects.Add(hash, name);
        if (job.SourceObject != target) job.Source.Enter(job.SourceObject, HoldKind.Read, 0, Work.FileWorker.MaxObject);
    }

    private ValueTask<int> Perform(FileJob job)
    {
        job.IsComplete = true;
        if (job.Obstacles == 0) _pool!.Submit(job);
        return job.Done.Task;
    }

    /// <summary>The reactor's part of a finished job: what it changed is noted, its holds are left, its answer is set.</summary>
    private int Conclude(FileJob job, int status)
    {
        var (request, target) = (job.Request, job.Object!);
        bool forced = (request.Flags & FileWorker.Forcing) != 0;
        // The sync that failed may have been for this one's data, too, whose own sync then found nothing wrong.
        if (status == 0 && forced && target.SyncFailures != job.SyncFailures) status = XsegErrno.EIO;
        TellSyncFailures(target, status);
        bool stable = status == 0 && forced && request.Op is not (XsegOp.Read or XsegOp.Info or XsegOp.Hash);
        if (request.Op is XsegOp.Copy or XsegOp.Delete && status == 0)
            // The old content is gone, and with it what of it was not stable.
            target.WritesStable = target.Writes;
        if (job.DataChanged && !stable) target.Writes++;
        if (job.EntryChanged && !stable) target.Entries++;
        if ((job.DataChanged || job.EntryChanged) && !stable) MarkDirty(target, request.Flow);
        if (stable) request.Reply = ReplyFlags.Stable;
        if (status == 0) request.Serviced = job.Serviced;
        if (job.NotTrusted) Context.Port.CountBadRequest();
        if (job.Detail != null) Report(job, status);
        Leave(job);
        return status;
    }

    private void Leave(FileJob job)
    {
        job.Target.Leave(_pool!);
        Used(job.Object!);
        if (job.Source.Object == null) return;
        job.Source.Leave(_pool!);
        Used(job.SourceObject!);
    }

    /// <summary>An object that nobody uses, of which nothing is open or unstable, is forgotten; too many open ones are closed.</summary>
    private void Used(StoredObject used)
    {
        if (!used.IsOpen && !used.IsDirty && used.IsIdle)
        {
            Forget(used);
            return;
        }

        _objects.Touch(used);
        while (_objects.Count > options.OpenFiles && _objects.Victim(dirty: false) is { } victim) Forget(victim);
        // A dirty file stays open, so that the kernel can tell this descriptor what failed (fsyncgate): make it stable first.
        if (_objects.Count > options.OpenFiles && _backgroundSyncs < MaxBackgroundSyncs && _objects.Victim(dirty: true) is { } dirty) SyncInBackground(dirty);
    }

    /// <summary>INVALIDATE: whose file it was is not kept, so all that nobody uses and that are stable are closed.</summary>
    private void ForgetClosable()
    {
        for (var at = _objects.Oldest; at != null;)
        {
            var next = at.Newer;
            if (at.IsIdle && !at.IsDirty) Forget(at);
            at = next;
        }
    }

    private void Forget(StoredObject forgotten)
    {
        Unlist(forgotten);
        _objects.Remove(forgotten);
    }

    private async void SyncInBackground(StoredObject dirty)
    {
        _backgroundSyncs++;
        await SyncObject(dirty);
        _backgroundSyncs--;
    }

    private void MarkDirty(StoredObject target, uint flow)
    {
        if (!target.Flows.Contains(flow)) target.Flows.Add(flow);
        if (target.Listed) return;
        (target.Listed, target.Place) = (true, _dirty.Count);
        _dirty.Add(target);
    }

    /// <summary>Takes an object out of the list of dirty ones, which may be long.</summary>
    private void Unlist(StoredObject clean)
    {
        if (!clean.Listed) return;
        clean.Listed = false;
        var last = _dirty[^1];
        (_dirty[clean.Place], last.Place) = (last, clean.Place);
        _dirty.RemoveAt(_dirty.Count - 1);
    }

    private bool TryFind(in Request request, out StoredObject found)
    {
        var name = request.Target;
        var hash = request.Hash;
        found = _objects.Find(hash, name)!;
        if (found != null) return true;
        // One object must not be known by two hashes: the slot's is believed only once it is checked.
        if (name.IsEmpty || Hash128.Of(name) != hash) return false;
        found = _objects.Add(hash, name);
        return true;
    }

    private FileJob Rent(JobKind kind, in Request request)
    {
        var job = _idleJobs.TryPop(out var idle) ? idle : new FileJob();
        job.Reset(kind, request);
        _active++;
        return job;
    }

    private void Return(FileJob job)
    {
        _idleJobs.Push(job);
        if (--_active == 0 && _draining) Close();
    }

    private void Report(FileJob job, int status) => Context.Log.LogError(
        "{Path}: {Detail}; the request fails with {Errno}: {Request}", job.Object?.Path ?? options.Directory, job.Detail, Errno.Name(status), job.Kind == JobKind.Request ? job.Request.ToString() : job.Name != null ? $"{job.Kind} {LockRecord.Printable(job.Name, 256)}" : job.Kind.ToString());
}
