using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>Flows and objects by name.</summary>
internal sealed unsafe partial class Store
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal FlowState FlowOf(uint flow) => _flows[flow] ?? AddFlow(flow);

    private FlowState AddFlow(uint flow)
    {
        Flows.Add(_flows[flow] = new FlowState(flow));
        return _flows[flow]!;
    }

    /// <summary>The object of a name, or null if nothing of it is cached.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal CachedObject? Find(in Hash128 hash) => Objects.Find(hash);

    /// <summary>
    /// The object of a name, made if need be. Null if the table is full or the hash is not the name's: <paramref name="status"/>
    /// then says which.
    /// </summary>
    internal CachedObject? FindOrAdd(in Request request, out int status)
    {
        status = 0;
        var hash = request.Hash;
        var found = Objects.Find(hash);
        if (found != null) return found;
        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        var target = request.Target;
        target.CopyTo(name);
        name = name[..target.Length];
        if (name.Length == 0 || Hash128.Of(name) != hash)
        {
            status = XsegErrno.EBADMSG;
            return null;
        }

        if (!_objectTable.TryAdd(name, hash, request.Flow, out uint entry) && (!FreeSomeObject() || !_objectTable.TryAdd(name, hash, request.Flow, out entry)))
        {
            status = XsegErrno.EAGAIN;
            return null;
        }

        return Add(entry, hash, request.Flow);
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
        (added.RetryAt, added.Failures, added.Exists) = (0, 0, Existence.Unknown);
        Objects.Add(added);
        return added;
    }

    /// <summary>
    /// True if the object is the one that the request names, not just one with the hash that it tells: what is done to whole objects
    /// is done by name below, and here to another flow's dirty pages.
    /// </summary>
    internal bool IsNamed(in Request request, CachedObject of) => NameOf(of).SequenceEqual(request.Target);

    internal ReadOnlySpan<byte> NameOf(CachedObject of)
    {
        var entry = _segment.ObjectAt(of.Entry);
        return new ReadOnlySpan<byte>(entry->Name, (int)Math.Min(entry->NameLength, RequestSlot.MaxTarget));
    }

    internal CachedObject? FindByEntry(uint entry)
    {
        var named = _segment.ObjectAt(entry);
        return named == null ? null : Objects.Find(new Hash128(named->HashLow, named->HashHigh));
    }

    private void Forget(CachedObject idle)
    {
        idle.Flow.Unlist(idle);
        Objects.Remove(idle);
        _objectTable.Remove(idle.Entry);
        _spare.Push(idle);
    }
}
