using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Recovery;

/// <summary>
/// Checks a segment against the rules of its layout, without writing to it. Peers may live: then whatever looks wrong is looked
/// at twice, and only what stands still is reported. The caller must not be a port's reactor. Thread-safe.
/// </summary>
public static class Fsck
{
    /// <summary>Between the two looks at a segment that is in use.</summary>
    private static readonly TimeSpan SecondLook = TimeSpan.FromMilliseconds(100);

    /// <summary>Checks.</summary>
    public static FsckReport Check(Segment segment)
    {
        var scan = new FsckScan(segment);
        scan.Run();
        if (scan.LivePorts == 0 || !scan.Findings.Any(finding => finding.Value.IsFault)) return scan.Report(0);
        Thread.Sleep(SecondLook);
        var again = new FsckScan(segment);
        again.Run();
        return again.Report(0, seenBefore: scan);
    }

    /// <summary>Allows dead ports to be taken over again after two quick deaths in a row. Peers may live.</summary>
    public static void ClearQuickDeaths(Segment segment)
    {
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            QuickDeaths.Clear(segment);
        }
    }

    /// <summary>
    /// Mends what can be mended with no data at stake: frees slots and pages that only dead peers held, older pages of a bucket
    /// that has a newer one, shares of ports that nobody has. Cached pages that cannot be destaged are left as they are, unless
    /// <paramref name="discardDirty"/> gives them up: their data is lost. <paramref name="cache"/> is the name of the port to which dirty pages
    /// belong whose port has lost its own.
    /// </summary>
    /// <exception cref="XsegException">EBUSY while a peer lives.</exception>
    public static FsckReport Repair(Segment segment, bool discardDirty = false, ReadOnlySpan<byte> cache = default)
    {
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            for (int port = 0; port < segment.PortCount; port++)
                if (PortTable.IsAlive(segment, port))
                    throw new XsegException(XsegErrno.EBUSY, $"{segment.DirectoryPath}: port {port} is in use; a segment is repaired when no peer lives (`archipelago down`)");
            if (segment.HiddenProcess() is { } process)
                throw new XsegException(XsegErrno.EBUSY, $"{segment.DirectoryPath}: the file 'locks' was removed or replaced, but process {process} lives and uses the segment; stop that one first");
            int repaired = FsckRepair.Run(segment, discardDirty, cache);
            var scan = new FsckScan(segment);
            scan.Run();
            return scan.Report(repaired);
        }
    }
}
