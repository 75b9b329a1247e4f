using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Vlmcd.Format;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// The list of volumes: records of 512 bytes in the objects <c>c.0000</c>, <c>c.0001</c>, … of 8,192 records each, kept in memory. A record
/// is changed by whoever has the gate of its volume; a record that is being deleted by its purge alone.
/// </summary>
internal sealed class Catalogue(PeerContext context, ObjectIo io)
{
    private const int RecordsPerObject = 8192, ChunkBytes = 64 << 10, MaxObjects = 65536;

    private readonly Dictionary<string, Entry> _byName = new(StringComparer.Ordinal);
    private readonly Dictionary<ulong, Entry> _deleting = [];
    private readonly SortedSet<int> _free = [];
    private int _slots;
    private byte[]? _listing;

    /// <summary>A record and where it stands.</summary>
    internal sealed class Entry(int slot, CatalogueRecord record)
    {
        internal int Slot => slot;
        internal CatalogueRecord Record { get; set; } = record;
        /// <summary>A write of the record failed: what the store holds is not known.</summary>
        internal bool IsUnsettled { get; set; }
    }

    /// <summary>Records that are damaged, as text.</summary>
    internal List<string> Damaged { get; } = [];
    internal IEnumerable<Entry> Live => _byName.Values.Where(entry => entry.Record.State == RecordState.Live);
    internal IEnumerable<Entry> Creating => _byName.Values.Where(entry => entry.Record.State == RecordState.Creating);
    internal IEnumerable<Entry> Deleting => _deleting.Values;

    internal Entry? Find(string name) => _byName.GetValueOrDefault(name);

    internal bool IsDeleting(ulong id) => _deleting.ContainsKey(id);

    internal bool KnowsId(ulong id) => IsDeleting(id) || _byName.Values.Any(entry => entry.Record.Id == id);

    /// <summary>Names of the volumes, sorted, one per line.</summary>
    internal ReadOnlyMemory<byte> Listing => _listing ??= Encoding.ASCII.GetBytes(
        string.Concat(Live.Select(entry => entry.Record.Name).Order(StringComparer.Ordinal).Select(name => name + "\n")));

    /// <summary>Reads all records; 0 or an errno, with nothing kept.</summary>
    internal async ValueTask<int> LoadAsync()
    {
        Clear();
        var chunk = new byte[ChunkBytes];
        for (int index = 0; index < MaxObjects; index++)
        {
            byte[] name = ObjectName(index);
            var (status, size) = await io.RunAsync(XsegOp.Info, io.Flow, name);
            if (status == Errno.ENOENT) return 0;
            for (ulong offset = 0; status == 0 && offset < size; offset += ChunkBytes)
            {
                (status, _) = await io.ReadAsync(name, offset, chunk);
                int records = (int)Math.Min(ChunkBytes, size - offset) / CatalogueRecord.Bytes;
                for (int i = 0; status == 0 && i < records; i++)
                    Add(index * RecordsPerObject + (int)(offset / CatalogueRecord.Bytes) + i, chunk.AsSpan(i * CatalogueRecord.Bytes, CatalogueRecord.Bytes));
            }

            if (status == 0) continue;
            Clear();
            return status;
        }

        return 0;
    }

    /// <summary>
    /// Puts a record into the place of <paramref name="entry"/>, or a new one; stable when done. If the write fails the entry is as it
    /// was, but unsettled: the store may hold either.
    /// </summary>
    internal async ValueTask<(int Status, Entry Entry)> PutAsync(Entry? entry, CatalogueRecord record)
    {
        entry ??= new Entry(TakeSlot(), CatalogueRecord.Free);
        var block = new byte[CatalogueRecord.Bytes];
        record.Write(block);
        int status = await io.WriteAsync(ObjectName(entry.Slot / RecordsPerObject), (ulong)(entry.Slot % RecordsPerObject) * CatalogueRecord.Bytes, block);
        if (status != 0)
        {
            entry.IsUnsettled = true;
            // A new place is never used again by this process: its record may say anything.
            return (status, entry);
        }

        Forget(entry);
        (entry.Record, entry.IsUnsettled) = (record, false);
        Remember(entry);
        return (0, entry);
    }

    /// <summary>Writes again what an earlier failed write has left unknown.</summary>
    internal async ValueTask<int> SettleAsync(Entry entry) => entry.IsUnsettled ? (await PutAsync(entry, entry.Record)).Status : 0;

    private static byte[] ObjectName(int index) => Encoding.ASCII.GetBytes($"c.{index:x4}");

    private int TakeSlot()
    {
        if (_free.Count == 0) return _slots++;
        int slot = _free.Min;
        _free.Remove(slot);
        return slot;
    }

    private void Add(int slot, ReadOnlySpan<byte> block)
    {
        _slots = Math.Max(_slots, slot + 1);
        var record = CatalogueRecord.Read(block, out string why);
        if (record == null)
        {
            Damaged.Add($"record {slot}: {why}");
            context.Log.LogError("catalogue: record {Slot} is left alone: {Why}; its volume is listed again when it is opened", slot, why);
            return;
        }

        if (record.State is RecordState.Creating or RecordState.Live && _byName.ContainsKey(record.Name))
        {
            Damaged.Add($"record {slot}: volume {record.Name} is listed twice");
            context.Log.LogWarning("catalogue: record {Slot} lists volume {Volume} a second time and is left alone", slot, record.Name);
            return;
        }

        Remember(new Entry(slot, record));
    }

    private void Remember(Entry entry)
    {
        _listing = null;
        if (entry.Record.State == RecordState.Free) _free.Add(entry.Slot);
        else if (entry.Record.State == RecordState.Deleting) _deleting[entry.Record.Id] = entry;
        else _byName[entry.Record.Name] = entry;
    }

    private void Forget(Entry entry)
    {
        if (entry.Record.State == RecordState.Deleting) _deleting.Remove(entry.Record.Id);
        else if (entry.Record.State != RecordState.Free) _byName.Remove(entry.Record.Name);
        _free.Remove(entry.Slot);
    }

    private void Clear()
    {
        _byName.Clear();
        _deleting.Clear();
        _free.Clear();
        Damaged.Clear();
        (_slots, _listing) = (0, null);
    }
}
