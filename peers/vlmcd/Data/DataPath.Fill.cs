using Archipelago.Vlmcd.Maps;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Data;

/// <summary>Makes the child for one object's part of a request.</summary>
internal sealed unsafe partial class DataPath
{
    private enum Filled
    {
        /// <summary>To be submitted.</summary>
        Ready,
        /// <summary>The same; the map waits for its end before it moves the object.</summary>
        ReadyCounted,
        /// <summary>The map must prepare the object first.</summary>
        NeedsMap,
        /// <summary>A hole was read: the answer is in place.</summary>
        Zeros,
        /// <summary>The request's slot lies.</summary>
        Bad,
        /// <summary>The map is damaged there.</summary>
        Damaged,
    }

    /// <summary>Fills a child with the bytes [offset, offset + length) of the volume, which lie in one object.</summary>
    private Filled TryFill(in Request child, in Request request, XsegOp op, Volume volume, ulong offset, ulong length, int firstExtent)
    {
        var flags = request.Flags & RequestFlags.ForceUnitAccess;
        if (op == XsegOp.Flush)
        {
            context.Port.Prepare(child, op, volume.Flow, default, default, 0, 0);
            context.Port.SetParent(child, request);
            return Filled.Ready;
        }

        ulong inside = offset & (volume.ObjectSize - 1);
        bool whole = IsWhole(op, volume, length);
        if (!volume.Map.TryFind(offset >> volume.Shift, AccessFor(op, volume, length), out var target)) return Filled.NeedsMap;
        if (target.Errno != 0) return Filled.Damaged;
        if (target.IsHole && op == XsegOp.Read) return TryZero(request, offset, length, firstExtent) ? Filled.Zeros : Filled.Bad;
        if (target.IsHole && op == XsegOp.Discard) return Filled.Zeros;

        // Deleting the object is as good as discarding all of it: a request that runs beside it overlaps it, so either order is right.
        // Whether a deletion honours FUA is not promised.
        if (whole && target.MayDelete && flags == 0) context.Port.Prepare(child, XsegOp.Delete, volume.Flow, target.Name, target.Hash, 0, 0, target.Flags);
        else context.Port.Prepare(child, op, volume.Flow, target.Name, target.Hash, inside, length, flags | target.Flags);
        context.Port.SetParent(child, request);
        if (op is not (XsegOp.Read or XsegOp.Write)) return Filled.Ready;
        if (!request.TryData(out var data)) return Filled.Bad;
        context.Port.Borrow(child, data, firstExtent);
        if (op != XsegOp.Read || !target.MayMove) return Filled.Ready;
        volume.Map.BeginRead(offset >> volume.Shift);
        return Filled.ReadyCounted;
    }

    /// <summary>
    /// A DISCARD of all of an object. One up to the volume's end is not: a grow beside it may be answered, and new data written behind
    /// that end, while it still runs.
    /// </summary>
    private static bool IsWhole(XsegOp op, Volume volume, ulong length) => op == XsegOp.Discard && length == volume.ObjectSize;

    private static ObjectAccess AccessFor(XsegOp op, Volume volume, ulong length) =>
        op == XsegOp.Read ? ObjectAccess.Read
        : length != volume.ObjectSize ? ObjectAccess.Write
        : op == XsegOp.Discard ? ObjectAccess.Drop : op == XsegOp.WriteZeroes ? ObjectAccess.Zero : ObjectAccess.Write;

    /// <summary>Answers a part of a READ with zeros, in the issuer's pages or by the zero page.</summary>
    private bool TryZero(in Request request, ulong offset, ulong length, int firstExtent)
    {
        if (!request.TryData(out var data)) return false;
        bool own = data.HasPages;
        int start = (int)(offset & 4095);
        for (int i = firstExtent; length > 0; i++, start = 0)
        {
            int count = (int)Math.Min((ulong)(4096 - start), length);
            if (!own)
            {
                if (!data.Set(i, Extent.Zero)) return false;
            }
            else
            {
                if (data.Owned(i, out var extent) == null) return false;
                new Span<byte>(context.Segment.PageBytes(extent.Page) + start, count).Clear();
            }

            length -= (ulong)count;
        }

        return true;
    }
}
