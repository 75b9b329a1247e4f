using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>Filling in a request and giving it pages.</summary>
public sealed unsafe partial class Port
{
    /// <summary>Fills a freshly allocated request. The target's hash must be <see cref="Hash128.Of"/> of its name.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Prepare(in Request request, XsegOp op, uint flow, ReadOnlySpan<byte> target, Hash128 hash, ulong offset, ulong length, RequestFlags flags = RequestFlags.None)
    {
        var slot = request.Pointer;
        Shared.Store(ref slot->Op, (byte)op);
        Shared.Store(ref slot->Reply, (byte)0);
        Shared.Store(ref slot->Flags, (ushort)flags);
        Shared.Store(ref slot->Status, 0u);
        Shared.Store(ref slot->Offset, offset);
        Shared.Store(ref slot->Length, length);
        Shared.Store(ref slot->Serviced, 0ul);
        Shared.Store(ref slot->HashLow, hash.Low);
        Shared.Store(ref slot->HashHigh, hash.High);
        Shared.Store(ref slot->Flow, flow);
        Shared.Store(ref slot->TargetLength, (ushort)target.Length);
        Shared.Store(ref slot->Attempts, (byte)0);
        Shared.Store(ref slot->PathLength, (byte)1);
        Shared.Store(ref slot->RootSlot, request.Slot);
        Shared.Store(ref slot->RootGeneration, request.Generation);
        Shared.Store(ref slot->RootFirst, (ushort)0);
        Shared.Store(ref slot->ExtentCount, (ushort)0);
        Shared.Store(ref slot->Parent, SlotWord.NoSlot);
        Shared.Store(ref slot->ParentGeneration, 0u);
        Shared.Store(ref slot->SourceLength, 0u);
        Shared.Store(ref slot->Deadline, 0ul);
        Shared.Store(ref slot->TraceId, 0ul);
        // Until its holder says otherwise it was accepted last: the holder may die between accepting and saying so.
        Shared.Store(ref slot->AcceptSequence, ulong.MaxValue);
        Shared.Store(ref slot->Path[0], (ushort)Number);
        Shared.Store(ref slot->Indirect[0], 0ul);
        Shared.Copy(target, slot->Target);
    }

    /// <summary>Sets the second name of a prepared request.</summary>
    public void SetSource(in Request request, ReadOnlySpan<byte> source)
    {
        Shared.Copy(source, request.Pointer->Source);
        Shared.Store(ref request.Pointer->SourceLength, (uint)source.Length);
    }

    /// <summary>Sets the identity of an op that may take effect only once; every such request must have one set, be it 0.</summary>
    public void SetIdentity(in Request request, UInt128 identity)
    {
        Shared.Store(ref request.Pointer->IdentityLow, (ulong)identity);
        Shared.Store(ref request.Pointer->IdentityHigh, (ulong)(identity >> 64));
    }

    /// <summary>Sets the deadline, CLOCK_BOOTTIME nanoseconds.</summary>
    public void SetDeadline(in Request request, ulong deadline) => Shared.Store(ref request.Pointer->Deadline, deadline);

    /// <summary>Makes a prepared request part of <paramref name="parent"/>: its trace, deadline, path, and no data of its own.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetParent(in Request child, in Request parent)
    {
        var slot = child.Pointer;
        var from = parent.Pointer;
        Shared.Store(ref slot->Parent, parent.Slot);
        Shared.Store(ref slot->ParentGeneration, parent.Generation);
        Shared.Store(ref slot->Deadline, from->Deadline);
        Shared.Store(ref slot->TraceId, from->TraceId);
        int length = Math.Min((int)from->PathLength, RequestSlot.MaxPath - 1);
        for (int i = 0; i < length; i++) Shared.Store(ref slot->Path[i], from->Path[i]);
        Shared.Store(ref slot->Path[length], (ushort)Number);
        Shared.Store(ref slot->PathLength, (byte)(length + 1));
    }

    /// <summary>
    /// Lets <paramref name="child"/> use the pages of <paramref name="data"/> from extent <paramref name="first"/> on. Its
    /// offset must be congruent to the data's modulo 4,096 there.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Borrow(in Request child, in RequestData data, int first)
    {
        var slot = child.Pointer;
        Shared.Store(ref slot->RootSlot, data.RootSlot);
        Shared.Store(ref slot->RootGeneration, new SlotWord(Segment.SlotAt(data.RootSlot)->Word).Generation);
        Shared.Store(ref slot->RootFirst, (ushort)(data.First + first));
    }

    /// <summary>
    /// Gives a request pages for its whole range (WRITE, or READ into own pages), or only room for the list of extents where a
    /// READ is to be answered with lent pages. False, with nothing changed, if the share is used up, or if the slot no longer
    /// holds a length that a request may have.
    /// </summary>
    public bool TryAttachPages(in Request request, bool payload)
    {
        var slot = request.Pointer;
        bool listing = slot->Op == (byte)XsegOp.MapRead;
        ulong length = Volatile.Read(ref slot->Length);
        if (!listing && length > RequestSlot.MaxData) return false;
        int count = listing ? 1 : Request.PagesFor(slot->Offset, length);
        int lists = count <= RequestSlot.InlineExtents ? 0 : (count - RequestSlot.InlineExtents + RequestSlot.ExtentsPerIndirect - 1) / RequestSlot.ExtentsPerIndirect;
        if (Pages.Count < lists + (payload ? count : 0)) return false;
        for (int i = 0; i < lists; i++)
        {
            if (!Pages.TryTake(request.Slot, out var list)) return Undo(request);
            Shared.Store(ref slot->Indirect[i], list.Value);
            if (i + 1 < RequestSlot.MaxIndirect) Shared.Store(ref slot->Indirect[i + 1], 0ul);
        }

        var data = OwnData(request, count);
        if (!payload)
        {
            // What an earlier use of the slot named must not look lent to this one: the lender would keep the very pages for
            // which this request may be waiting.
            for (int i = 0; i < count; i++) data.Set(i, Extent.Zero);
            return true;
        }

        for (int i = 0; i < count; i++)
        {
            if (!Pages.TryTake(request.Slot, out var page)) return Undo(request);
            if (!data.Set(i, page))
            {
                Pages.Give(page.Page);
                return Undo(request);
            }

            Shared.Store(ref slot->ExtentCount, (ushort)(i + 1));
        }

        return true;
    }

    /// <summary>
    /// Attaches pages that the caller already owns, in whatever state, as the data of a request that it issues (a destage
    /// sends a bucket's page): nothing is claimed, and <see cref="Free"/> will not free them.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AttachForeign(in Request request, int index, Extent extent)
    {
        if (!OwnData(request, RequestSlot.MaxExtents).Set(index, extent)) return;
        if (request.Pointer->ExtentCount <= index) Shared.Store(ref request.Pointer->ExtentCount, (ushort)(index + 1));
    }

    /// <summary>The request's own list, whatever its slot says by now about its root.</summary>
    private RequestData OwnData(in Request request, int count) => new(Segment, request.Pointer, request.Slot, 0, count);

    private bool Undo(in Request request)
    {
        FreePages(request);
        return false;
    }

    private void FreePages(in Request request)
    {
        var slot = request.Pointer;
        int count = Math.Min((int)slot->ExtentCount, RequestSlot.MaxExtents);
        // Backwards, as the pool gives out last what came first: neighbours stay neighbours, in ascending order.
        for (int i = count - 1; i >= 0; i--)
        {
            ulong* at = i < RequestSlot.InlineExtents ? &slot->Extents[i] : RequestData.LocateIndirect(Segment, slot, request.Slot, i);
            if (at != null) FreeIfOwned(request.Slot, new Extent(*at));
        }

        for (int i = 0; i < RequestSlot.MaxIndirect && slot->Indirect[i] != 0; i++)
        {
            FreeIfOwned(request.Slot, new Extent(slot->Indirect[i]));
            Shared.Store(ref slot->Indirect[i], 0ul);
        }

        Shared.Store(ref slot->ExtentCount, (ushort)0);
    }

    /// <summary>The page goes back to the share if it still is the slot's: an adopted one is not, its exchange is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FreeIfOwned(uint slot, Extent extent)
    {
        var entry = Segment.PageAt(extent.Page);
        if (entry != null && entry->Word == new PageWord(PageState.Slot, slot, extent.Generation).Value) Pages.Give(extent.Page);
    }
}
