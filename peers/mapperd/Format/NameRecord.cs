using Archipelago.Maps;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>Object <c>n.NAME</c>, one sector (layout in README.md): which volume has the name. It counts only if the volume's root says the same name.</summary>
internal static class NameRecord
{
    private const ulong Magic = 0x004d_414e_4843_5241; // "ARCHNAM\0"
    private const uint CurrentVersion = 1;

    internal static byte[] ToSector(ulong id, string name)
    {
        var to = new byte[Sector.Bytes];
        Sector.Begin(to, Magic, CurrentVersion);
        Sector.U64(to, 16, id);
        Sector.Name(to, 24, name);
        Crc32C.Seal(to);
        return to;
    }

    /// <summary>See <see cref="Sector.IsOfOtherBuild"/>.</summary>
    internal static bool IsOfOtherBuild(ReadOnlySpan<byte> from) => Sector.IsOfOtherBuild(from, Magic, CurrentVersion);

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
