using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// COPY: the source is brought down first, then the blocker copies; or, where all of the source is cached and there is no target yet, its pages
/// are written as the target, and nothing is read below. In both cases the target's pages are here afterwards if the source's were.
/// </summary>
internal sealed class CopyPath(PeerContext context, Store store, ObjectOps objects, Sharing sharing, FlushPath flushes, PageCopies pages, Route blocks)
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
        bool shared = (request.Flags & RequestFlags.Shared) != 0;
        if (source != null)
        {
            source.Users++;
            if (shared && !sharing.IsFor(request.Flow, shared, source) && store.ShareFlow() is var all and not Store.NoFlow) status = await sharing.TakeAsync(source, all);
        }

        // What never changes need not be kept from changing: many may copy an image's object at once.
        var held = source != null && !(shared && store.IsShared(source)) ? source : null;
        // Always in the order of the names' hashes: two copies between two objects must not wait for each other.
        bool sourceFirst = hash.Low < request.Hash.Low;
        if (held != null && sourceFirst) status = First(status, await objects.HoldAsync(held));
        status = First(status, await objects.HoldAsync(target));
        if (held != null && !sourceFirst) status = First(status, await objects.HoldAsync(held));
        if (status == 0 && source is { LostPages: > 0 }) status = XsegErrno.EIO;
        if (status == 0) status = await CopyAsync(request, name, hash, target, source);

        target.Users--;
        objects.Leave(target);
        if (source == null) return status;
        source.Users--;
        if (held != null) objects.Leave(source);
        else store.Release(source);
        return status;
    }

    private static int First(int status, int next) => status != 0 ? status : next;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> CopyAsync(Request request, byte[] name, Hash128 hash, CachedObject target, CachedObject? source)
    {
        var flow = store.FlowOf(request.Flow);
        bool mayCover = source is { Pages: > 0 } && sharing.IsFor(flow.Index, (request.Flags & RequestFlags.Shared) != 0, source) && PageCopies.Fits(request);
        int status = 0;
        ulong size = 0;
        // Before anything of the target is made dirty for it: zeros that are cached beyond its end would make it longer.
        if (mayCover || source is not { Exists: Existence.Yes }) (status, size) = await AskAsync(request.Flow, name, hash);
        if (status != 0) return status;
        size = Math.Min(size, request.Length);
        bool covered = mayCover && size > 0 && pages.Cover(source!, size);
        long failures = flow.FlushFailures;
        bool done = covered && await IsFreshAsync(request, target) && await pages.TryWriteAsync(request, target, source!, size);
        if (!done)
        {
            status = await objects.ForwardOverAsync(request, target, 0, RequestSlot.MaxData);
            if (status != 0) return status;
            store.Drop(target, 0, RequestSlot.MaxData);
            store.SetExists(target, Existence.Yes);
            if (covered) await pages.KeepAsync(request, target, source!, size);
        }

        if ((request.Reply & ReplyFlags.Stable) != 0) return 0;
        store.NoteAround(flow, failures);
        if ((request.Flags & RequestFlags.ForceUnitAccess) == 0) return 0;
        status = await flushes.StabilizeAsync(flow);
        // Another's FLUSH failed meanwhile, and it may be this copy that it lost.
        return status == 0 && failures != flow.FlushFailures ? XsegErrno.EIO : status;
    }

    /// <summary>
    /// True if the blocker has no target: then it may come into being by a WRITE, of which a crash may leave a part, and a replay, which finds
    /// that, has the blocker copy. What is there already is replaced as a whole or not at all, which only the blocker can do; EXCLUSIVE it answers, too.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<bool> IsFreshAsync(Request request, CachedObject target)
    {
        if (target.Exists == Existence.Yes || (request.Flags & RequestFlags.Exclusive) != 0) return false;
        byte[] name = request.Target.ToArray();
        if (Hash128.Of(name) != target.Hash) return false;
        var (status, _) = await AskAsync(request.Flow, name, target.Hash);
        return status == XsegErrno.ENOENT;
    }

    /// <summary>0 and its size if the blocker has an object; ENOENT, or what it says else.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<(int Status, ulong Size)> AskAsync(uint flow, byte[] name, Hash128 hash)
    {
        var child = await context.AllocateAsync(SlotUse.Forward);
        context.Port.Prepare(child, XsegOp.Info, flow, name, hash, 0, 0);
        int status = await blocks.SubmitAsync(child);
        ulong size = child.Serviced;
        context.Free(child);
        return (status, size);
    }
}
