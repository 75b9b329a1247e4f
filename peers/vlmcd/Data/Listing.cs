using System.Buffers.Binary;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Vlmcd.Maps;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Data;

/// <summary>Answers that vlmcd gives itself, in pages that it lends: which parts of a volume are holes.</summary>
internal sealed class Listing(PeerContext context, ObjectIo io, VlmcdOptions options)
{
    private const int EntryBytes = 16, MaxEntries = 256;
    private const uint Hole = 1;

    private readonly Lender _lender = new(context);

    /// <summary>
    /// MAPR: as many entries as fit, for the objects from the offset on; neighbours of one kind are one entry. Of what is damaged nobody can tell: it is no hole, so
    /// that its READ fails, and that alone.
    /// </summary>
    internal async ValueTask<int> MapAsync(Request request, Volume volume, ulong offset, ulong length)
    {
        if (((offset | length) & 511) != 0 || length == 0 || length > volume.Size || offset > volume.Size - length) return Errno.EINVAL;
        volume.Begin();
        try
        {
            ulong first = offset >> volume.Shift, last = Math.Min((offset + length - 1) >> volume.Shift, first + MaxEntries - 1);
            var isHole = new bool[(int)(last - first) + 1];
            var (known, status) = await AskAsync(request, volume, first, isHole);
            if (status != 0) return status;
            var entries = new byte[known * EntryBytes];
            int used = 0;
            for (int i = 0; i < known; i++)
            {
                ulong from = Math.Max(offset, (first + (ulong)i) << volume.Shift), to = Math.Min(offset + length, (first + (ulong)i + 1) << volume.Shift);
                uint flags = isHole[i] ? Hole : 0;
                if (i == 0 || isHole[i] != isHole[i - 1])
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(entries.AsSpan(used + 8), flags);
                    used += EntryBytes;
                }

                var sum = entries.AsSpan(used - EntryBytes, 8);
                BinaryPrimitives.WriteUInt64LittleEndian(sum, BinaryPrimitives.ReadUInt64LittleEndian(sum) + to - from);
            }

            return await _lender.AnswerAsync(request, entries.AsMemory(0, used), 0, 1);
        }
        finally
        {
            volume.End();
        }
    }

    /// <summary>READ of a text; zeros follow it.</summary>
    internal ValueTask<int> AnswerTextAsync(Request request, byte[] text) => request.Offset != 0 || request.Length > RequestSlot.MaxData
        ? new ValueTask<int>(Errno.EINVAL)
        : _lender.AnswerAsync(request, text.AsMemory(0, (int)Math.Min((ulong)text.Length, request.Length)), 0, Request.PagesFor(0, request.Length));

    /// <summary>How many objects from the first one on are to be answered, at least one, or an errno.</summary>
    private async ValueTask<(int Known, int Status)> AskAsync(Request request, Volume volume, ulong first, bool[] isHole)
    {
        int next = 0, known = isHole.Length, error = 0;
        var workers = new Task[Math.Min(options.FanOut, isHole.Length)];
        for (int i = 0; i < workers.Length; i++) workers[i] = WorkAsync();
        await Task.WhenAll(workers);
        // What the store fails to tell ends the answer; where it begins with that, nobody can tell of this one object.
        return (Math.Max(known, 1), error);

        async Task WorkAsync()
        {
            while (error == 0 && next < known)
            {
                int at = next++;
                int status = await LookAsync(request, volume, first + (ulong)at);
                if (status == Errno.ENOENT) isHole[at] = true;
                else if (status == Errno.EIO) known = Math.Min(known, at);
                else if (status != 0) error = status;
            }
        }
    }

    /// <summary>0 if the object exists, or the map is damaged there; ENOENT for a hole.</summary>
    private async ValueTask<int> LookAsync(Request request, Volume volume, ulong index)
    {
        while (true)
        {
            int status = await EnsureKnownAsync(volume, index, request);
            if (status != 0) return status;
            status = Find(volume, index, out byte[]? name, out var flags);
            if (name == null) return status;
            status = (await io.RunAsync(XsegOp.Info, volume.Flow, name, flags: flags)).Status;
            if (status != Errno.ENOENT || !LayerName.TryParse(name, out _, out ulong layer, out _) || !(volume.IsReadOnly || volume.Map.MayMove(layer))) return status;
            int confirmed = await volume.Map.ConfirmHoleAsync(index, layer);
            if (confirmed != Errno.EAGAIN) return confirmed == 0 ? Errno.ENOENT : confirmed;
        }
    }

    /// <summary>The chunk of the map with the object is here. Damage is an answer too.</summary>
    private static async ValueTask<int> EnsureKnownAsync(Volume volume, ulong index, Request request)
    {
        while (!volume.Map.TryFind(index, ObjectAccess.Read, out _))
            if (await volume.Map.PrepareAsync(index, ObjectAccess.Read, request) is var status and not 0) return status;
        return 0;
    }

    /// <summary>ENOENT for what the map knows to be a hole; 0 for what it knows to exist, or does not know as it is damaged, and a name for what has to be asked for.</summary>
    private static int Find(Volume volume, ulong index, out byte[]? name, out RequestFlags flags)
    {
        (name, flags) = (null, default);
        if (!volume.Map.TryFind(index, ObjectAccess.Read, out var target)) return 0;
        if (target.Errno == Errno.EIO) return 0;
        if (target.Errno != 0) return target.Errno;
        if (target.IsHole) return Errno.ENOENT;
        if ((target.Flags & RequestFlags.MustExist) != 0) return 0;
        (name, flags) = (target.Name.ToArray(), target.Flags);
        return 0;
    }
}
