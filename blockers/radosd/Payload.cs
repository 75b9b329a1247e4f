using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>
/// Moves bytes between a request's pages and one piece of memory, believing nothing that a slot says. Pages whose numbers
/// follow each other are neighbours in memory.
/// </summary>
internal static unsafe class Payload
{
    private const int Page = Segment.PageSize;

    /// <summary>
    /// The pages that a READ is to be filled into, if they lie in one piece; null if they are scattered. False if one of them
    /// does not belong to the request.
    /// </summary>
    internal static bool TryFindOwned(in Request request, in RequestData data, out byte* piece)
    {
        piece = null;
        bool adjacent = true;
        uint first = 0;
        for (int i = 0; i < data.Count; i++)
        {
            if (data.Owned(i, out var extent) == null) return false;
            if (i == 0) first = extent.Page;
            else adjacent &= extent.Page == first + (uint)i;
        }

        if (adjacent) piece = request.Segment.PageBytes(first) + (request.Offset & (Page - 1));
        return true;
    }

    /// <summary>Copies what was read into the request's own pages; false if one is not its own any more.</summary>
    internal static bool TryScatter(in Request request, in RequestData data, byte* from, ulong offset, ulong length)
    {
        ulong done = 0;
        for (int i = 0; i < data.Count && done < length; i++)
        {
            if (data.Owned(i, out var extent) == null) return false;
            uint start = (uint)((offset + done) & (Page - 1));
            uint count = (uint)Math.Min(Page - start, length - done);
            new ReadOnlySpan<byte>(from + done, (int)count).CopyTo(new Span<byte>(request.Segment.PageBytes(extent.Page) + start, (int)count));
            done += count;
        }

        return true;
    }

    /// <summary>
    /// Answers a READ with lent pages; pages of zeros are not lent but named. 0; EAGAIN: so many pages are not free now, nothing
    /// was done; ENOMEM: they never will be; EBADMSG: the slot has no room for the extents.
    /// </summary>
    internal static int Lend(Lender lender, in Request request, in RequestData data, byte* from, ulong offset, ulong length)
    {
        Span<Extent> extents = stackalloc Extent[RequestSlot.MaxExtents];
        int needed = 0;
        for (int i = 0; i < data.Count; i++)
        {
            var part = Part(from, offset, length, i, out _);
            if (part.ContainsAnyExcept((byte)0)) needed++;
        }

        if (needed > lender.Available) return Errno.ENOMEM;
        extents = extents[..needed];
        // Taken, filled and named by the slot without an await in between: a lent page that no slot names is anybody's.
        if (needed > 0 && !lender.TryTake(request.Flow, extents)) return Errno.EAGAIN;
        int used = 0;
        bool set = true;
        for (int i = 0; i < data.Count; i++)
        {
            var part = Part(from, offset, length, i, out int start);
            if (!part.ContainsAnyExcept((byte)0))
            {
                set &= data.Set(i, Extent.Zero);
                continue;
            }

            var page = new Span<byte>(request.Segment.PageBytes(extents[used].Page), Page);
            // What the page held before belongs to somebody else.
            page[..start].Clear();
            part.CopyTo(page[start..]);
            page[(start + part.Length)..].Clear();
            set &= data.Set(i, extents[used++]);
        }

        return set ? 0 : Errno.EBADMSG;
    }

    /// <summary>Names the zero page for all of a READ's range; false if the slot has no room for the extents.</summary>
    internal static bool TrySetZeros(in RequestData data)
    {
        bool set = true;
        for (int i = 0; i < data.Count; i++) set &= data.Set(i, Extent.Zero);
        return set;
    }

    /// <summary>
    /// Looks at the pages of a WRITE: where they are if they lie in one piece, and how many of them were written by an earlier
    /// execution. False if one is neither readable nor spent.
    /// </summary>
    internal static bool TryFindReadable(in Request request, in RequestData data, out byte* piece, out int spent)
    {
        piece = null;
        spent = 0;
        bool adjacent = true;
        byte* first = null;
        for (int i = 0; i < data.Count; i++)
        {
            if (data.Get(i).IsSpent)
            {
                spent++;
                adjacent = false;
                continue;
            }

            byte* bytes = data.Readable(i);
            if (bytes == null) return false;
            if (i == 0) first = bytes;
            else adjacent &= bytes == first + ((nint)i * Page);
        }

        if (adjacent) piece = first + (request.Offset & (Page - 1));
        return true;
    }

    /// <summary>Copies the pages from <paramref name="first"/> on, up to a spent one or the end, behind each other; returns the bytes, or −1.</summary>
    internal static int Gather(in RequestData data, ulong offset, ulong length, byte* to, ref int first)
    {
        int copied = 0;
        for (; first < data.Count && !data.Get(first).IsSpent; first++)
        {
            byte* bytes = data.Readable(first);
            if (bytes == null) return -1;
            (int start, int count) = Bounds(offset, length, first);
            new ReadOnlySpan<byte>(bytes + start, count).CopyTo(new Span<byte>(to + copied, count));
            copied += count;
        }

        return copied;
    }

    /// <summary>Bytes of page <paramref name="index"/> of the range: where they begin in the page, and how many.</summary>
    internal static (int Start, int Count) Bounds(ulong offset, ulong length, int index)
    {
        int lead = (int)(offset & (Page - 1));
        long begin = index == 0 ? 0 : ((long)index * Page) - lead;
        int start = index == 0 ? lead : 0;
        return (start, (int)Math.Min(Page - start, (long)length - begin));
    }

    private static ReadOnlySpan<byte> Part(byte* from, ulong offset, ulong length, int index, out int start)
    {
        (start, int count) = Bounds(offset, length, index);
        long begin = index == 0 ? 0 : ((long)index * Page) - (long)(offset & (Page - 1));
        return new ReadOnlySpan<byte>(from + begin, count);
    }
}
