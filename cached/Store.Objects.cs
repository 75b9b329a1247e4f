using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>Flows and objects by name.</summary>
internal sealed unsafe partial class Store
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal FlowState FlowOf(uint flow) => (flow < (uint)_flows.Length ? _flows[flow] : null) ?? AddFlow(flow);

    private FlowState AddFlow(uint flow)
    {
        // A slot that changed after it was accepted: nobody's.
        if (flow >= (uint)_flows.Length) flow = 0;
        if (_flows[flow] is { } known) return known;
        // What went around a predecessor that died nobody knows: it may have been all that a FLUSH loses from here on.
        Flows.Add(_flows[flow] = new FlowState(flow) { Share = ShareOf(flow), Around = _port.Recovered.HadPredecessor ? 1 : 0 });
        return _flows[flow]!;
    }

    /// <summary>The object of a name, or null if nothing of it is cached.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal CachedObject? Find(in Hash128 hash) => Objects.Find(hash);

    /// <summary>
    /// The object of a name, made for <paramref name="flow"/> if need be. Null if the table is full, the hash is not the name's, or a damaged entry of that
    /// name cannot be mended by this request: <paramref name="status"/> then says which.
    /// </summary>
    internal CachedObject? FindOrAdd(in Request request, uint flow, out int status)
    {
        status = 0;
        var hash = request.Hash;
        var found = Objects.Find(hash);
        if (found != null)
        {
            if (found.NameLost) TryNameAgain(found, request);
            return found;
        }

        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        var target = request.Target;
        target.CopyTo(name);
        name = name[..target.Length];
        if (name.Length == 0 || Hash128.Of(name) != hash)
        {
            status = XsegErrno.EBADMSG;
            return null;
        }

        if (_orphans != null)
        {
            found = Reclaim(name, hash, request.Flow, out status);
            if (found != null || status != 0) return found;
        }

        if (!Table.TryAdd(name, hash, flow, out uint entry) && (!FreeSomeObject() || !Table.TryAdd(name, hash, flow, out entry)))
        {
            status = XsegErrno.EAGAIN;
            return null;
        }

        return Add(entry, hash, flow);
    }

    /// <summary>Gives an object's entry back once nothing refers to it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Release(CachedObject used)
    {
        if (used.IsIdle) Forget(used);
    }

    /// <summary>Adds the object of an entry that is in use: a new one, or one found after a restart.</summary>
    internal CachedObject Add(uint entry, in Hash128 hash, uint flow)
    {
        var added = _spare.Count > 0 ? _spare.Pop() : new CachedObject();
        (added.Entry, added.Hash, added.Flow) = (entry, hash, FlowOf(flow));
        (added.RetryAt, added.Failures, added.NameLost) = (0, 0, false);
        added.Exists = _segment.ObjectAt(entry)->Missing == 1 ? Existence.Missing : Existence.Unknown;
        Objects.Add(added);
        NoteObject(added.Flow);
        _byEntry[entry] = added;
        return added;
    }

    private void NoteObject(FlowState flow)
    {
        if (flow.Objects++ == 0) flow.Share = ShareOf(flow.Index);
    }

    /// <summary>
    /// Notes whether the blocker has the object. That it has not is noted in the object table, before a page of zeros is kept: a
    /// successor must not take these for an object.
    /// </summary>
    internal void SetExists(CachedObject of, Existence exists)
    {
        if (of.Exists == exists) return;
        if (of.Exists == Existence.Missing || exists == Existence.Missing)
            Shared.Store(ref _segment.ObjectAt(of.Entry)->Missing, exists == Existence.Missing ? 1u : 0u);
        of.Exists = exists;
    }

    /// <summary>
    /// True if the object is the one that the request names, not just one with the hash that it tells: what is done to whole objects
    /// is done by name below, and here to another flow's dirty pages.
    /// </summary>
    internal static bool IsNamed(in Request request, CachedObject of) => Hash128.Of(request.Target) == of.Hash;

    /// <summary>
    /// Prepares a request for an object. False if the object table does not say its name any more: EIO, until a request that names it
    /// comes (see <see cref="FindOrAdd"/>).
    /// </summary>
    internal bool TryPrepare(in Request child, XsegOp op, CachedObject of, ulong offset, ulong length, RequestFlags flags = RequestFlags.None)
    {
        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        name = name[..CopyName(of.Entry, name)];
        if (Hash128.Of(name) == of.Hash)
        {
            _port.Prepare(child, op, of.Flow.Index, name, of.Hash, offset, length, flags);
            return true;
        }

        if (of.NameLost) return false;
        of.NameLost = true;
        DamagedObjects++;
        _context.Log.LogError(
            "the object table's entry {Entry} of flow {Flow} is damaged: it does not name the object with hash {Hash} any more; its {Dirty} dirty pages are kept, and cannot be destaged until a request names it",
            of.Entry, of.Flow.Index, of.Hash, of.DirtyPages);
        return false;
    }

    /// <summary>The object's name as its entry says it, for messages.</summary>
    internal string NameOf(CachedObject of)
    {
        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        name = name[..CopyName(of.Entry, name)];
        return Hash128.Of(name) == of.Hash ? System.Text.Encoding.UTF8.GetString(name) : $"with hash {of.Hash}";
    }

    internal CachedObject? FindByEntry(uint entry) => entry < (uint)_byEntry.Length ? _byEntry[entry] : null;

    private int CopyName(uint index, Span<byte> to)
    {
        var entry = _segment.ObjectAt(index);
        int length = (int)Math.Min(entry->NameLength, RequestSlot.MaxTarget);
        new ReadOnlySpan<byte>(entry->Name, length).CopyTo(to);
        return length;
    }

    /// <summary>A request whose target has the object's hash proves the name.</summary>
    private void TryNameAgain(CachedObject of, in Request request)
    {
        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        var target = request.Target;
        target.CopyTo(name);
        name = name[..target.Length];
        if (Hash128.Of(name) != of.Hash) return;
        Table.Rewrite(of.Entry, name, of.Hash, of.Flow.Index);
        of.NameLost = false;
        _context.Log.LogInformation("the object table's entry {Entry} is mended: a request named {Object}", of.Entry, System.Text.Encoding.UTF8.GetString(name));
    }

    private void Forget(CachedObject idle)
    {
        idle.Flow.Unlist(idle);
        idle.Flow.Objects--;
        Objects.Remove(idle);
        _byEntry[idle.Entry] = null;
        Table.Remove(idle.Entry);
        _spare.Push(idle);
    }
}
