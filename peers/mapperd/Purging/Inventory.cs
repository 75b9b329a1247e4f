using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Purging;

/// <summary>The objects that a store holds, by what they are.</summary>
internal sealed class Inventory
{
    internal Dictionary<ulong, IndexSet> Data { get; } = [];
    internal Dictionary<ulong, IndexSet> Chunks { get; } = [];
    internal HashSet<ulong> Roots { get; } = [];
    internal HashSet<ulong> Locks { get; } = [];
    internal HashSet<(ulong Volume, ulong Generation)> Directories { get; } = [];
    internal List<string> Names { get; } = [];
    /// <summary>All objects.</summary>
    internal long Count { get; private set; }
    /// <summary>Objects that are nothing of ours; they are left alone.</summary>
    internal long Foreign { get; private set; }

    /// <summary>Lists the store.</summary>
    /// <exception cref="ErrnoException">It fails, or cannot list.</exception>
    internal static async ValueTask<Inventory> TakeAsync(ObjectIo io, Func<long, bool> goesOn)
    {
        const int Capacity = 256 << 10;
        var found = new Inventory();
        for (ulong cursor = 0; cursor != ulong.MaxValue;)
        {
            var (status, bytes, next) = await io.ListAsync(cursor, Capacity);
            if (status != 0) throw new ErrnoException(status, $"the store's objects cannot be listed: {Errno.Describe(status)}");
            for (int at = 0; at + 2 <= bytes.Length;)
            {
                int length = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(at));
                if (length == 0 || at + 2 + length > bytes.Length) break;
                found.Add(bytes.AsSpan(at + 2, length));
                at += 2 + length;
            }

            cursor = next;
            if (!goesOn(found.Count)) throw new ErrnoException(Errno.ECANCELED, "stopped while the store was listed; nothing was removed");
        }

        return found;
    }

    private void Add(ReadOnlySpan<byte> name)
    {
        Count++;
        if (LayerName.TryParse(name, out char kind, out ulong layer, out ulong index) && index < MapGeometry.MaxObjects)
        {
            var sets = kind == 'o' ? Data : Chunks;
            if (!sets.TryGetValue(layer, out var set)) sets.Add(layer, set = new IndexSet());
            set.Add(index);
        }
        else if (name.Length > 2 && name[0] == (byte)'n' && name[1] == (byte)'.' && VolumeName.IsValid(name[2..]))
        {
            Names.Add(Encoding.ASCII.GetString(name[2..]));
        }
        else if (name.Length == 18 && name[1] == (byte)'.' && name[0] is (byte)'v' or (byte)'l' && TryHex(name[2..], out ulong id))
        {
            (name[0] == (byte)'v' ? Roots : Locks).Add(id);
        }
        else if (name.Length == 35 && name[1] == (byte)'.' && name[0] == (byte)'d' && name[18] == (byte)'.' && TryHex(name[2..18], out ulong volume) && TryHex(name[19..], out ulong generation))
        {
            Directories.Add((volume, generation));
        }
        else if (name.Length < 2 || name[0] != (byte)'c' || name[1] != (byte)'.')
        {
            Foreign++;
        }
    }

    private static bool TryHex(ReadOnlySpan<byte> text, out ulong value) => ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
}
