using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>COPY: the source is brought down first, then the blocker copies.</summary>
internal sealed class CopyPath(PeerContext context, Store store, ObjectOps objects, Route blocks)
{
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HandleAsync(Request request)
    {
        byte[] name = request.Source.ToArray();
        var hash = Hash128.Of(name);
        if (hash == request.Hash) return XsegErrno.EINVAL;
        var (target, status) = await objects.FindOrAddAsync(request);
        if (target == null) return status;
        if (!Store.IsNamed(request, target)) return context.BadRequest();
        target.Users++;
        var source = store.FindNamed(hash, name, request.Flow, out status);
        if (source != null) source.Users++;
        // Always in the order of the names' hashes: two copies between two objects must not wait for each other.
        bool sourceFirst = hash.Low < request.Hash.Low;
        if (source != null && sourceFirst) status = await objects.HoldAsync(source);
        int next = await objects.HoldAsync(target);
        if (status == 0) status = next;
        if (source != null && !sourceFirst)
        {
            next = await objects.HoldAsync(source);
            if (status == 0) status = next;
        }

        if (status == 0 && source is { LostPages: > 0 }) status = XsegErrno.EIO;
        // Before anything of the target is made dirty for it: zeros that are cached beyond its end would make it longer.
        if (status == 0 && source is not { Exists: Existence.Yes }) status = await AskAsync(request.Flow, name, hash);
        long failures = store.FlowOf(request.Flow).FlushFailures;
        if (status == 0) status = await objects.ForwardOverAsync(request, target, 0, RequestSlot.MaxData);
        if (status == 0)
        {
            store.Drop(target, 0, RequestSlot.MaxData);
            store.SetExists(target, Existence.Yes);
            if ((request.Reply & ReplyFlags.Stable) == 0) store.NoteAround(store.FlowOf(request.Flow), failures);
        }

        target.Users--;
        objects.Leave(target);
        if (source == null) return status;
        source.Users--;
        objects.Leave(source);
        return status;
    }

    /// <summary>0 if the blocker has an object; ENOENT, or what it says else.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> AskAsync(uint flow, byte[] name, Hash128 hash)
    {
        var child = await context.AllocateAsync(SlotUse.Forward);
        context.Port.Prepare(child, XsegOp.Info, flow, name, hash, 0, 0);
        int status = await blocks.SubmitAsync(child);
        context.Free(child);
        return status;
    }
}
