using System.Text;
using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// The list of volumes of the store, shared with other hosts: records of a sector in the objects <c>c.0000</c>, <c>c.0001</c>, … of 8,192 records each. It is read
/// anew for each question; a record is changed by compare-and-swap, by whoever has the lock of its volume.
/// </summary>
internal sealed class Catalogue(PeerContext context, ObjectIo io)
{
    private const int RecordsPerObject = 8192, ReadBytes = 64 << 10, MaxObjects = 4096;

    private readonly HashSet<int> _told = [];

    /// <summary>A record and where it stands.</summary>
    internal sealed record Entry(int Slot, CatalogueRecord Record);

    /// <summary>Records that are damaged, as text, as of the last reading.</summary>
    internal IReadOnlyList<string> Damaged => [.. Faults.Select(fault => Text(fault.Slot, fault.What))];
    /// <summary>The same, by their places.</summary>
    internal IReadOnlyList<(int Slot, string What)> Faults { get; private set; } = [];

    /// <summary>Reads all records.</summary>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal async ValueTask<List<Entry>> ReadAsync()
    {
        var found = new List<Entry>();
        var damaged = new List<(int Slot, string What)>();
        var bytes = new byte[ReadBytes];
        for (int index = 0; index < MaxObjects; index++)
        {
            var (status, size) = await io.RunAsync(Xseg.XsegOp.Info, io.Flow, ObjectName(index));
            if (status == Errno.ENOENT) break;
            for (ulong offset = 0; status == 0 && offset < size; offset += ReadBytes)
            {
                (status, _) = await io.ReadAsync(ObjectName(index), offset, bytes);
                int records = (int)Math.Min(ReadBytes, size - offset) / Sector.Bytes;
                for (int i = 0; status == 0 && i < records; i++)
                    Add(index * RecordsPerObject + (int)(offset / Sector.Bytes) + i, bytes.AsSpan(i * Sector.Bytes, Sector.Bytes), found, damaged);
            }

            // A record is written as a whole: what ends within one was cut off, and with it perhaps the record of a clone.
            if (size % Sector.Bytes != 0) damaged.Add((index * RecordsPerObject + (int)(size / Sector.Bytes), "is cut off"));
            if (status != 0) throw new ErrnoException(status, $"the catalogue of volumes, object {Encoding.ASCII.GetString(ObjectName(index))}, cannot be read: {Errno.Describe(status)}");
        }

        Faults = damaged;
        return found;
    }

    /// <summary>Why nobody knows, by these entries, which clones a volume's snapshots have; null if that is known.</summary>
    internal string? FaultFor(VolumeRoot root, List<Entry> entries)
    {
        if (Damaged.Count > 0) return $"{Damaged[0]}; restore that object from a copy first";
        // Zeros are free places: a catalogue that was lost looks like an empty one. A volume that is missing in it tells.
        return entries.Find(entry => entry.Record.Id == root.Id) switch
        {
            null => "the catalogue has lost this volume, and perhaps its clones; `archipelago volume gc` lists all volumes again",
            { Record.IsAlone: true } => "the catalogue had lost this volume, and may have lost its clones, too; `archipelago volume gc` lists all volumes again",
            _ => null,
        };
    }

    /// <summary>Whether a record is what it was when it was read or written here; one sector is read, and not all.</summary>
    internal async ValueTask<bool> IsUnchangedAsync(Entry entry)
    {
        var sector = new byte[Sector.Bytes];
        var (status, _) = await io.ReadAsync(ObjectName(entry.Slot / RecordsPerObject), (ulong)(entry.Slot % RecordsPerObject) * Sector.Bytes, sector);
        if (status != 0) throw Failed(entry.Record, status, "read");
        return CatalogueRecord.Read(sector, out _) == entry.Record;
    }

    internal async ValueTask<Entry?> FindAsync(ulong id) => (await ReadAsync()).Find(entry => entry.Record.Id == id);

    /// <summary>Adds a record, in a place that nobody else takes at the same time.</summary>
    internal async ValueTask<Entry> AddAsync(CatalogueRecord record)
    {
        var taken = (await ReadAsync()).Select(entry => entry.Slot).ToHashSet();
        for (int slot = 0; slot < MaxObjects * RecordsPerObject; slot++)
        {
            if (taken.Contains(slot)) continue;
            int status = await SwapAsync(slot, null, record);
            if (status == 0) return new Entry(slot, record);
            if (status != Errno.EILSEQ) throw Failed(record, status);
        }

        throw new ErrnoException(Errno.ENOSPC, "the catalogue of volumes is full");
    }

    /// <summary>Replaces a record, or frees it. If somebody else has changed it: EAGAIN.</summary>
    internal async ValueTask<Entry> ReplaceAsync(Entry entry, CatalogueRecord? record)
    {
        int status = await SwapAsync(entry.Slot, entry.Record, record);
        return status == 0 ? new Entry(entry.Slot, record ?? entry.Record) : throw Failed(entry.Record, status == Errno.EILSEQ ? Errno.EAGAIN : status);
    }

    private ValueTask<int> SwapAsync(int slot, CatalogueRecord? from, CatalogueRecord? to) => io.SwapAsync(
        ObjectName(slot / RecordsPerObject), (ulong)(slot % RecordsPerObject) * Sector.Bytes, from?.ToSector() ?? new byte[Sector.Bytes], to?.ToSector() ?? new byte[Sector.Bytes]);

    private void Add(int slot, ReadOnlySpan<byte> sector, List<Entry> found, List<(int Slot, string What)> damaged)
    {
        var record = CatalogueRecord.Read(sector, out string? why);
        if (record != null) found.Add(new Entry(slot, record));
        if (why == null) return;
        damaged.Add((slot, why));
        if (_told.Add(slot)) context.Log.LogError("{Fault}; it is left alone, its volume is listed again when it is opened", Text(slot, why));
    }

    private static string Text(int slot, string why) => $"record {slot} of the catalogue {why}";

    /// <summary>Object and sector of a record, for people.</summary>
    internal static string PlaceOf(int slot) => $"{Encoding.ASCII.GetString(ObjectName(slot / RecordsPerObject))} sector {slot % RecordsPerObject}";

    private static byte[] ObjectName(int index) => Encoding.ASCII.GetBytes($"c.{index:x4}");

    private static ErrnoException Failed(CatalogueRecord record, int status, string what = "written") =>
        new(status, $"volume {record.Name}: its record in the catalogue cannot be {what}: {Errno.Describe(status)}");
}
