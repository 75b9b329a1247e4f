using System.Text;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// What of the port table makes no sense. The number of a cache's port is all that says whose its dirty pages are: where the table is
/// damaged nobody may take a number, for what is found under it would be sorted as another's.
/// </summary>
internal static unsafe class PortFaults
{
    /// <summary>What is wrong with the entry itself, or null.</summary>
    internal static string? Of(Segment segment, int port)
    {
        var entry = segment.PortAt(port);
        uint state = Volatile.Read(ref entry->State);
        if (state > (uint)PortState.Left) return $"port {port}: state {state} does not exist";
        // Between two names an entry is free.
        if (state == (uint)PortState.Free) return null;
        if (entry->NameLength is 0 or > PortEntry.MaxName) return $"port {port}: a name of {entry->NameLength} bytes";
        string name = Encoding.UTF8.GetString(PortTable.NameOf(segment, port));
        if (entry->NameChecksum != 0 && entry->NameChecksum != PortTable.NameChecksum(port, PortTable.NameOf(segment, port)))
            return $"port {port}: its name '{Printable(name)}' and the checksum of it do not agree";
        for (int other = 0; other < port; other++)
            if (segment.PortAt(other)->State is (uint)PortState.Bound or (uint)PortState.Left && PortTable.NameOf(segment, other).SequenceEqual(PortTable.NameOf(segment, port)))
                return $"ports {other} and {port} have the same name '{Printable(name)}'";
        return null;
    }

    /// <summary>Dirty pages that each port has cached.</summary>
    internal static long[] DirtyByPort(Segment segment)
    {
        long[] dirty = new long[segment.PortCount];
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            if (word.State == PageState.Cache && word.Owner < (uint)dirty.Length && entry->IsUnstable) dirty[word.Owner]++;
        }

        return dirty;
    }

    /// <summary>True if dirty pages belong to a port that nobody serves and that has no name.</summary>
    internal static bool IsOrphaned(Segment segment, int port, long dirty) =>
        dirty > 0 && segment.PortAt(port)->State == (uint)PortState.Free && !PortTable.IsAlive(segment, port);

    /// <summary>Before anything of a bind is changed; under the maintenance lock.</summary>
    /// <exception cref="XsegException">EUCLEAN.</exception>
    internal static void Refuse(Segment segment, long[] dirty)
    {
        var faults = new List<string>();
        for (int port = 0; port < segment.PortCount; port++)
        {
            if (Of(segment, port) is { } fault) faults.Add(fault);
            else if (IsOrphaned(segment, port, dirty[port])) faults.Add($"port {port} has {dirty[port]} dirty pages, but no name");
        }

        RefuseErased(segment);
        if (faults.Count == 0) return;
        throw new XsegException(XsegErrno.EUCLEAN,
            $"{segment.DirectoryPath}: the port table is damaged: {faults[0]}{(faults.Count > 1 ? $", and {faults.Count - 1} more" : "")}. Nothing was changed; {segment.DirtyPages()} dirty pages are kept. "
            + $"See `archipelago segment fsck --segment {segment.DirectoryPath}`; with --repair, when no peer lives, the dirty pages get their cache's name back");
    }

    private const int ErasedTable = 64;

    /// <summary>
    /// A word of zeros may have been the only copy of a bucket; no page ever has it. Single ones are left alone and told of at the start (a
    /// start that they stop would cost all other volumes more); so many are no accident of single words.
    /// </summary>
    private static void RefuseErased(Segment segment)
    {
        long erased = 0;
        for (uint page = 1; page < segment.PageCount; page++)
            if (Volatile.Read(ref segment.PageAt(page)->Word) == 0) erased++;
        if (erased < ErasedTable) return;
        throw new XsegException(XsegErrno.EUCLEAN,
            $"{segment.DirectoryPath}: the page table is damaged: {erased} of its entries were erased, and may have been dirty pages. Nothing was changed. See `archipelago segment fsck --segment {segment.DirectoryPath}`; "
            + "with --repair --discard-dirty, when no peer lives, what they held is given up");
    }

    private static string Printable(string name) => string.Concat(name.Select(c => char.IsControl(c) ? '?' : c));
}
