using System.Runtime.CompilerServices;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Data;

/// <summary>
/// Requests over several objects, and those that must wait for a slot or for the map: one child per object, a bounded number at once;
/// serviced is summed, the first error wins, all children are waited for.
/// </summary>
internal sealed partial class DataPath
{
    private Gather? _free;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> Split(Request request, XsegOp op, Volume volume, ulong offset, ulong length)
    {
        volume.Begin();
        var gather = Rent();
        int started = 0, awaited = 0, window = gather.Parts.Length;
        ulong at = 0;
        do
        {
            if (started - awaited == window) Note(gather, await gather.Parts[awaited++ % window]);
            // What an error has doomed is not worth more work.
            if (gather.Error != 0) break;
            ulong part = Math.Min(length - at, volume.ObjectSize - ((offset + at) & (volume.ObjectSize - 1)));
            gather.Parts[started++ % window] = RunPart(request, op, volume, gather, offset + at, part, (int)(((offset & 4095) + at) >> 12));
            at += part;
        }
        while (at < length);

        while (awaited < started) Note(gather, await gather.Parts[awaited++ % window]);
        int status = gather.Error;
        request.Serviced = gather.Serviced;
        request.Reply = gather.Reply;
        (gather.Next, _free) = (_free, gather);
        volume.End();
        return status;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> RunPart(Request request, XsegOp op, Volume volume, Gather gather, ulong offset, ulong length, int firstExtent)
    {
        while (true)
        {
            var child = await context.AllocateAsync();
            var filled = TryFill(child, request, op, volume, offset, length, firstExtent);
            if (filled is Filled.Ready or Filled.ReadyCounted)
            {
                InFlight++;
                int outcome = await blocks.SubmitAsync(child);
                if (filled == Filled.ReadyCounted) volume.Map.EndRead(offset >> volume.Shift);
                ulong missing = MissingLayer(op, volume, child, outcome);
                int status = Take(child, op, length, outcome, out ulong serviced, out var reply);
                if (missing != 0 && await volume.Map.ConfirmHoleAsync(offset >> volume.Shift, missing) is var confirmed and not 0)
                {
                    if (confirmed == Errno.EAGAIN) continue;
                    return confirmed;
                }

                gather.Serviced += serviced;
                gather.Reply &= reply;
                return status;
            }

            // The slot is not kept while the map works: what that needs may be slots.
            context.Free(child);
            if (filled == Filled.Bad) return context.BadRequest();
            if (filled == Filled.Damaged) return Errno.EIO;
            if (filled == Filled.Zeros)
            {
                gather.Serviced += length;
                gather.Reply &= ReplyFlags.None;
                return 0;
            }

            int prepared = await volume.Map.PrepareAsync(offset >> volume.Shift, AccessFor(op, volume, length), request);
            if (prepared != 0) return prepared;
        }
    }

    private static void Note(Gather gather, int status)
    {
        if (gather.Error == 0) gather.Error = status;
    }

    private Gather Rent()
    {
        var gather = _free ?? new Gather(options.FanOut);
        _free = gather.Next;
        gather.Reset();
        return gather;
    }
}
