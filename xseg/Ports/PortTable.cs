using System.Numerics;
using System.Runtime.InteropServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>Finding ports by name. Under the maintenance lock where something is taken.</summary>
public static unsafe class PortTable
{
    /// <summary>Number of the port with this name, bound now or in a former life; −1 if there is none.</summary>
    public static int Find(Segment segment, ReadOnlySpan<byte> name)
    {
        for (int port = 0; port < segment.PortCount; port++)
            if (segment.PortAt(port)->State != (uint)PortState.Free && NameOf(segment, port).SequenceEqual(name)) return port;
        return -1;
    }

    /// <summary>Name of a port; empty if it was never bound.</summary>
    public static ReadOnlySpan<byte> NameOf(Segment segment, int port)
    {
        var entry = segment.PortAt(port);
        return new ReadOnlySpan<byte>(entry->Name, (int)Math.Min(entry->NameLength, PortEntry.MaxName));
    }

    /// <summary>True if the kernel says that a process, this one or another, serves the port.</summary>
    public static bool IsAlive(Segment segment, int port) => segment.HoldsPort(port) || segment.Locks.IsHeldElsewhere(port);

    /// <summary>Of a name under a port's number; never 0, which stands for none.</summary>
    internal static uint NameChecksum(int port, ReadOnlySpan<byte> name)
    {
        Span<byte> bytes = stackalloc byte[8 + PortEntry.MaxName];
        bytes.Clear();
        BitConverter.TryWriteBytes(bytes, port);
        BitConverter.TryWriteBytes(bytes[4..], name.Length);
        name.CopyTo(bytes[8..]);
        uint crc = uint.MaxValue;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) crc = BitOperations.Crc32C(crc, word);
        return ~crc == 0 ? 1 : ~crc;
    }

    /// <summary>Names an entry that is free.</summary>
    internal static void SetName(Segment segment, int port, ReadOnlySpan<byte> name)
    {
        var entry = segment.PortAt(port);
        Shared.Store(ref entry->NameLength, (uint)name.Length);
        Shared.Copy(name, entry->Name);
        Shared.Store(ref entry->NameChecksum, NameChecksum(port, name));
    }

    internal static int FindOrTake(Segment segment, ReadOnlySpan<byte> name, PortOptions options)
    {
        int port = Find(segment, name);
        if (port >= 0)
        {
            if (!segment.TryTakePortLock(port))
                throw new XsegException(XsegErrno.EBUSY, $"port '{options.Name}' is bound by process {segment.PortAt(port)->ProcessId}; stop that one first");
            return port;
        }

        for (int pass = 0; pass < 2; pass++)
        {
            for (port = 0; port < segment.PortCount; port++)
            {
                var entry = segment.PortAt(port);
                // First a free port; then one of a client that died and that nobody will succeed.
                bool free = entry->State == (uint)PortState.Free || (pass == 1 && (entry->Flags & (uint)PortFlags.Transient) != 0);
                if (free && segment.TryTakePortLock(port)) return port;
            }
        }

        throw new XsegException(XsegErrno.ENOSPC, $"no free port for '{options.Name}': all {segment.PortCount} are bound; create the segment with more ([segment] ports)");
    }
}
