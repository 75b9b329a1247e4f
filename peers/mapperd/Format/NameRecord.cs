using Archipelago.Maps;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>Object <c>n.NAME</c>, one sector (layout in README.md): which volume has the name. It counts only if the volume's root says the same name.</summary>
internal static class NameRecord
{
    private const ulong Magic = 0x004d_414e_4843_5241; // "ARCHNAM\0"
    private const uint CurrentVersion = 1;

    private const uint DroppedFlag = 1;

    /// <param name="id">The volume; or, of a name that is being dropped, the lock under which that is done.</param>
    /// <param name="name">The name.</param>
    /// <param name="isDropped">No volume has it, and its object is about to be deleted.</param>
    internal static byte[] ToSector(ulong id, string name, bool isDropped = false)
    {
        var to = new byte[Sector.Bytes];
        Sector.Begin(to, Magic, CurrentVersion);
        Sector.U32(to, 12, isDropped ? DroppedFlag : 0);
        Sector.U64(to, 16, id);
        Sector.Name(to, 24, name);
        Crc32C.Seal(to);
        return to;
    }

    /// <summary>See <see cref="Sector.IsOfOtherBuild"/>.</summary>
    internal static bool IsOfOtherBuild(ReadOnlySpan<byte> from) => Sector.IsOfOtherBuild(from, Magic, CurrentVersion);

    /// <summary>True of a sound record of a name that was being dropped: where that was cut off it is left, of nobody.</summary>
    internal static bool IsDropped(ReadOnlySpan<byte> from) => Sector.U32(from, 12) == DroppedFlag;

    /// <summary>The volume's id; 0 if nobody has the name.</summary>
    /// <exception cref="Runtime.ErrnoException">EPROTO, EIO: the record is none or damaged.</exception>
    internal static ulong Read(ReadOnlySpan<byte> from, string name)
    {
        if (Sector.IsZero(from)) return 0;
        if (Sector.Fault(from, Magic, CurrentVersion, "record of a volume's name") is { } fault)
            throw new Runtime.ErrnoException(fault.Errno, $"volume {name}: object n.{name} {fault.What}");
        if (Sector.Name(from, 24) != name || Sector.U64(from, 16) == 0)
            throw new Runtime.ErrnoException(Runtime.Errno.EPROTO, $"volume {name}: object n.{name} belongs to another name");
        return Sector.U64(from, 16);
    }
}
