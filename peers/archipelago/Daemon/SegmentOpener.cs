using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cli.Daemon;

/// <summary>Makes or joins the segment of a daemon, and removes it at the end.</summary>
internal static class SegmentOpener
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>Joins the segment if there is one, says what state it is in, and makes it if there is none (then the second value is true).</summary>
    internal static (Segment Segment, bool Made) Open(string directory, Func<SegmentOptions> sizes, ILogger log)
    {
        MakeParent(directory);
        bool looked = false;
        long giveUp = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (true)
        {
            try
            {
                if (!Segment.Exists(directory)) return (Create(directory, sizes(), log), true);
                var segment = Segment.Join(directory);
                Describe(segment, log);
                return (segment, false);
            }
            catch (XsegException e) when (e.Errno is XsegErrno.EEXIST or XsegErrno.ENOENT && Environment.TickCount64 < giveUp)
            {
                // Another process of the chain has just made it, or removed it.
                Thread.Sleep(20);
            }
            catch (XsegException e) when (e.Errno == XsegErrno.EAGAIN && Environment.TickCount64 < giveUp)
            {
                // Being made by a living process, or left unfinished by a dead one: Create tells the two apart.
                if (TryReplaceUnfinished(directory, sizes, log) is { } made) return (made, true);
                Thread.Sleep(20);
            }
            catch (XsegException e) when (e.Errno == XsegErrno.EUCLEAN && !looked)
            {
                // Once: what is not mended by this (a lock file that is not the segment's) the next Join refuses again, for good.
                looked = true;
                if (Segment.TryMendState(directory, out uint found))
                    log.LogError("segment {Directory}: the header's state was damaged ({State}); its tables say that it was in use: it is taken over, and what it holds kept. See `archipelago segment fsck`", directory, found);
            }
            catch (XsegException e) when (e.Errno == XsegErrno.EPROTO)
            {
                throw new ErrnoException(e.Errno, $"{e.Message}. Nothing was changed. If nothing in it is needed: `archipelago segment destroy --segment {directory}`", e);
            }
        }
    }

    /// <summary>Removes the segment if no peer lives and nothing would be lost. Returns what was done, for the log.</summary>
    internal static string Remove(Segment segment, bool keep)
    {
        if (keep) return $"segment {segment.DirectoryPath} is kept";
        long dirty = segment.DirtyPages();
        if (dirty > 0) return $"segment {segment.DirectoryPath} is kept: it holds {dirty} dirty pages";
        long damaged = segment.DamagedPages();
        if (damaged > 0) return $"segment {segment.DirectoryPath} is kept: {damaged} entries of its page table are damaged, and what they held may be dirty; see `archipelago segment fsck`";
        try
        {
            Destroy(segment.DirectoryPath);
            return $"segment {segment.DirectoryPath} is removed (an empty lock file stays there)";
        }
        catch (XsegException e) when (e.Errno is XsegErrno.EBUSY or XsegErrno.ENOENT)
        {
            return $"segment {segment.DirectoryPath} is kept: other processes use it";
        }
    }

    /// <summary>Removes a segment. Its lock file stays: see <see cref="Segment.Destroy"/>.</summary>
    internal static void Destroy(string directory)
    {
        Segment.Destroy(directory);
        if (!Directory.EnumerateFileSystemEntries(directory).Any()) Directory.Delete(directory);
    }

    private static Segment Create(string directory, SegmentOptions sizes, ILogger log)
    {
        var segment = Segment.Create(directory, sizes);
        log.LogInformation("segment made: {Directory}, {Pages} pages, {MiB} MiB", directory, segment.PageCount, segment.TotalSize >> 20);
        return segment;
    }

    private static Segment? TryReplaceUnfinished(string directory, Func<SegmentOptions> sizes, ILogger log)
    {
        try
        {
            return Create(directory, sizes(), log);
        }
        catch (XsegException e) when (e.Errno == XsegErrno.EEXIST)
        {
            return null;
        }
    }

    private static unsafe void Describe(Segment segment, ILogger log)
    {
        var dead = new List<string>();
        bool alive = false;
        for (int port = 0; port < segment.PortCount; port++)
        {
            if (segment.PortAt(port)->State != (uint)PortState.Bound) continue;
            if (PortTable.IsAlive(segment, port)) alive = true;
            else dead.Add($"{System.Text.Encoding.UTF8.GetString(PortTable.NameOf(segment, port))} (process {segment.PortAt(port)->ProcessId})");
        }

        if (segment.DamagedPages() is > 0 and var damaged)
            log.LogError(
                "segment {Directory}: {Damaged} entries of the page table make no sense: nobody can tell whether they were dirty pages, whose data the store does not have. See `archipelago segment fsck`",
                segment.DirectoryPath, damaged);
        if (alive) log.LogInformation("segment joined: {Directory}", segment.DirectoryPath);
        else
            log.LogWarning(
                "segment of a former run found: {Directory}, {Dirty} dirty pages; its peers do not live any more and are succeeded: {Peers}",
                segment.DirectoryPath, segment.DirtyPages(), string.Join(", ", dead));
    }

    /// <summary>All users may have segments below the default place; as in /tmp nobody may remove another's.</summary>
    private static void MakeParent(string directory)
    {
        string? parent = Path.GetDirectoryName(directory);
        if (parent != "/dev/shm/archipelago" || Directory.Exists(parent)) return;
        Directory.CreateDirectory(parent);
        const UnixFileMode All = (UnixFileMode)0x1FF; // 0777
        File.SetUnixFileMode(parent, All | UnixFileMode.StickyBit);
    }
}
