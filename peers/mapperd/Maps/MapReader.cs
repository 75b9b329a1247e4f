using System.Buffers.Binary;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Mapperd.Maps;

/// <summary>Answers that mapperd gives in pages that it lends: parts of maps, the list of volumes.</summary>
internal sealed class MapReader(PeerContext context)
{
    private static readonly TimeSpan Retry = TimeSpan.FromMilliseconds(1);

    private readonly Lender _lender = new(context);
    /// <summary>Pages of the peer, at its start.</summary>
    private readonly int _share = context.Port.Pages.Count;
    /// <summary>Pages that are never lent: what mapperd reads and writes itself must not wait for slow readers.</summary>
    private readonly int _reserve = context.Port.Pages.Count / 4;

    /// <summary>Entries of objects from <paramref name="first"/> on, 8 bytes each; zeros beyond the end.</summary>
    internal static async ValueTask<byte[]> EntriesAsync(VersionMap map, ulong first, int count)
    {
        var bytes = new byte[count * 8];
        for (int i = 0; i < count;)
        {
            ulong index = first + (ulong)i, chunk = index / MapGeometry.ChunkEntries;
            if (chunk >= (ulong)map.Directory.Chunks) break;
            int at = (int)(index % MapGeometry.ChunkEntries), part = Math.Min(count - i, MapGeometry.ChunkEntries - at);
            var word = map.Directory.Words[(int)chunk];
            var entries = await map.ChunkAsync((int)chunk);
            for (int j = 0; j < part; j++)
            {
                var entry = entries != null ? entries[at + j] : word.IsDamaged ? word : MapEntry.Of(word.Layer, false);
                BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan((i + j) * 8), entry.Value);
            }

            i += part;
        }

        return bytes;
    }

    internal ValueTask<int> AnswerAsync(Request request, byte[] entries) =>
        AnswerAsync(request, entries, (int)(request.Offset & 4095), request.Op == XsegOp.MapRead ? 1 : Request.PagesFor(request.Offset, request.Length));

    /// <summary>Bytes [offset, offset + length) of a list; beyond its end zeros, which do not count as serviced.</summary>
    internal ValueTask<int> AnswerListAsync(Request request, byte[] list)
    {
        if (request.Length > RequestSlot.MaxData) return new ValueTask<int>(Errno.EFBIG);
        int skip = (int)Math.Min(request.Offset, (ulong)list.Length), count = (int)Math.Min(request.Length, (ulong)(list.Length - skip));
        return AnswerAsync(request, list.AsMemory(skip, count), (int)(request.Offset & 4095), Request.PagesFor(request.Offset, request.Length));
    }

    /// <summary>Puts <paramref name="bytes"/> into the answer's pages from byte <paramref name="start"/> of the first on.</summary>
    private async ValueTask<int> AnswerAsync(Request request, ReadOnlyMemory<byte> bytes, int start, int pages)
    {
        if (!request.TryData(out var data) || data.Count < pages) return context.BadRequest();
        int filled = bytes.Length == 0 ? 0 : (start + bytes.Length + 4095) >> 12;
        if (filled > pages) return Errno.EINVAL;
        request.Serviced = (ulong)bytes.Length;
        if (data.HasPages) return Fill(request, default, bytes.Span, start, pages) ? 0 : context.BadRequest();
        var lent = new Extent[filled];
        while (filled + _reserve <= _share)
        {
            if (TryLend(request, lent, bytes.Span, start, pages) is var status and not Errno.EAGAIN) return status;
            await context.Reactor.Delay(Retry);
        }

        return Errno.ENOMEM;
    }

    /// <summary>
    /// Takes pages, fills them and names them in the slot in one go: a lent page that no slot names is anybody's. EAGAIN, with nothing
    /// done, if there are too few now.
    /// </summary>
    private int TryLend(in Request request, Extent[] lent, ReadOnlySpan<byte> bytes, int start, int pages)
    {
        if (!HasEnough(lent.Length) || !_lender.TryTake(request.Flow, lent)) return Errno.EAGAIN;
        return Fill(request, lent, bytes, start, pages) ? 0 : context.BadRequest();
    }

    private bool HasEnough(int pages)
    {
        var (free, limbo) = (context.Port.Pages, context.Port.Limbo);
        if (free.Count < pages + _reserve && limbo.Drain() >= 0 && free.Count < pages + _reserve) limbo.DrainPastSlowReaders();
        return free.Count >= pages + _reserve;
    }

    private unsafe bool Fill(in Request request, ReadOnlySpan<Extent> lent, ReadOnlySpan<byte> bytes, int start, int pages)
    {
        if (!request.TryData(out var data)) return false;
        bool own = data.HasPages;
        for (int i = 0; i < pages; i++, start = 0)
        {
            var extent = i < lent.Length ? lent[i] : Extent.Zero;
            if (own && data.Owned(i, out extent) == null) return false;
            if (!own && !data.Set(i, extent)) return false;
            if (!own && i >= lent.Length) continue;
            var page = new Span<byte>(context.Segment.PageBytes(extent.Page), Segment.PageSize);
            int count = Math.Min(Segment.PageSize - start, bytes.Length);
            page.Clear();
            bytes[..count].CopyTo(page[start..]);
            bytes = bytes[count..];
        }

        return true;
    }
}
