using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>New volumes that are made of objects that the store holds already.</summary>
internal sealed partial class VolumeService
{
    /// <summary>Creates a volume of copies of objects, which may go then. <paramref name="identity"/> names the request, as for a blank volume.</summary>
    /// <param name="name">Name of the volume.</param>
    /// <param name="list">The objects.</param>
    /// <param name="identity">Of the request; 0 for none.</param>
    /// <param name="tell">Told what it is at, and how far.</param>
    /// <param name="cancel">Ends it: nothing of the volume is left.</param>
    /// <exception cref="ErrnoException">ENOENT, EINVAL: with the line; EEXIST; ECANCELED; ESHUTDOWN; the store's.</exception>
    internal async Task<VolumeRoot> AssembleAsync(string name, SourceList list, UInt128 identity, Func<string, long, long, ValueTask>? tell = null, CancellationToken cancel = default)
    {
        int objectSize = list.ObjectSize == 0 ? _options.ObjectSize : list.ObjectSize;
        CheckObjectSize(name, objectSize);
        ulong size = list.Size == 0 ? (ulong)list.Names.Count * (ulong)objectSize : list.Size;
        CheckSize(name, size, objectSize);
        var assembly = new Assembly(_context.Reactor, _meta, _data, list, name, size, objectSize, _options.FanOut)
        {
            Tell = tell,
            ThrowIfEnded = () =>
            {
                if (IsStopping) throw new ErrnoException(Errno.ESHUTDOWN, $"volume {name} was not created: mapperd stops; do it again");
                if (cancel.IsCancellationRequested) throw new ErrnoException(Errno.ECANCELED, $"volume {name} was not created: it was ended before it was done");
            },
        };
        assembly.CheckNames();
        // Who stops mapperd waits until nothing of it is left.
        Purges++;
        try
        {
            return await MakeAsync(name, size, objectSize, identity, null, null, null, assembly);
        }
        finally
        {
            Purges--;
        }
    }

    /// <summary>The same for the control plane.</summary>
    internal async Task AssembleAsync(string name, AssembleRequest request, Func<AssembleItem, ValueTask> tell, CancellationToken cancel)
    {
        var list = new SourceList
        {
            Size = request.Size ?? 0,
            ObjectSize = request.ObjectSize ?? 0,
            Names = [.. (request.Objects ?? []).Select(one => (ReadOnlyMemory<byte>)System.Text.Encoding.UTF8.GetBytes(one ?? ""))],
        };
        long told = 0;
        var root = await AssembleAsync(name, list, 0, (step, done, of) =>
        {
            if (_context.Reactor.Now < told + TellEvery) return default;
            told = _context.Reactor.Now;
            return tell(new AssembleItem(step, done, of));
        }, cancel);
        await tell(new AssembleItem("done", list.Names.Count, list.Names.Count, $"{root.Id:x16}"));
    }
}
