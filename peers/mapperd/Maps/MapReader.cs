using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Mapperd.Maps;

/// <summary>Answers that mapperd gives in pages that it lends: parts of maps, the list of volumes.</summary>
internal sealed class MapReader(PeerContext context)
{
    // What mapperd reads and writes itself must not wait for slow readers.
    private readonly Lender _lender = new(context, context.Port.Pages.Count / 4);

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
            for (int end = at + part; at < end; at++, i++)
                BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 8), Chunk.Entry(entries, word, at).Value);
        }

        return bytes;
    }

    /// <summary>True if nobody knows some of the entries.</summary>
    internal static bool IsDamaged(byte[] entries) => MemoryMarshal.Cast<byte, ulong>(entries).Contains(MapEntry.Damaged.Value);

    internal ValueTask<int> AnswerAsync(Request request, byte[] entries) =>
        _lender.AnswerAsync(request, entries, (int)(request.Offset & 4095), request.Op == XsegOp.MapRead ? 1 : Request.PagesFor(request.Offset, request.Length));

    /// <summary>Bytes [offset, offset + length) of a list; beyond its end zeros, which do not count as serviced.</summary>
    internal ValueTask<int> AnswerListAsync(Request request, byte[] list)
    {
        if (request.Length > RequestSlot.MaxData) return new ValueTask<int>(Errno.EFBIG);
        int skip = (int)Math.Min(request.Offset, (ulong)list.Length), count = (int)Math.Min(request.Length, (ulong)(list.Length - skip));
        return _lender.AnswerAsync(request, list.AsMemory(skip, count), (int)(request.Offset & 4095), Request.PagesFor(request.Offset, request.Length));
    }
}
