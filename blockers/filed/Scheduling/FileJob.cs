using Archipelago.Filed.Storage;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed.Scheduling;

/// <summary>What an I/O thread is to do.</summary>
internal enum JobKind : byte
{
    /// <summary>The request's op.</summary>
    Request,
    /// <summary>Data and entry of the object become stable.</summary>
    SyncObject,
    /// <summary>The whole file system becomes stable.</summary>
    SyncAll,
    /// <summary>Names of objects are collected.</summary>
    List,
    /// <summary>A lock's record is read.</summary>
    ReadRecord,
    /// <summary>A lock's record is compared and swapped.</summary>
    SwapRecord,
}

/// <summary>
/// One piece of blocking work, from the reactor to an I/O thread and back. Reused; owned by the reactor but between
/// <see cref="IoPool.Submit"/> and its completion.
/// </summary>
internal sealed class FileJob
{
    internal readonly Completion<int> Done = new();
    internal readonly Hold Target, Source;
    internal FileJob? Next;

    internal JobKind Kind;
    internal Request Request;
    internal StoredObject? Object, SourceObject;
    /// <summary>Holds that must be left first.</summary>
    internal int Obstacles;
    /// <summary>Ready to run once there are no obstacles.</summary>
    internal bool IsComplete;

    /// <summary>Pages taken to be lent, for a READ without pages of its own.</summary>
    internal Extent[] Pages = new Extent[32];
    /// <summary>Pages of the range that turned out to be zeros.</summary>
    internal bool[] Zero = new bool[32];
    internal int PageCount;
    /// <summary>Of a listing.</summary>
    internal NameListing? Names;

    // Of a lock's record.
    internal byte[]? Name, Expected, Fresh;
    /// <summary>Of a change: from this time of CLOCK_BOOTTIME on it is not begun any more, its answer is <see cref="TooLate"/>; 0 for never.</summary>
    internal long NotAfter;
    internal const int TooLate = -1;

    // Of a sync: what was there when it was asked for.
    internal long Writes, Entries;
    /// <summary>The object's failed syncs when the job came.</summary>
    internal int SyncFailures;

    // Results.
    internal int Status;
    internal ulong Serviced;
    internal bool Missing, DataChanged, EntryChanged, IsStable, NotTrusted;
    internal string? Detail;

    internal FileJob() => (Target, Source) = (new Hold(this), new Hold(this));

    internal void Reset(JobKind kind, in Request request)
    {
        (Kind, Request) = (kind, request);
        (Object, SourceObject, Obstacles, IsComplete, PageCount) = (null, null, 0, false, 0);
        (Status, Serviced, Detail, Names) = (0, 0, null, null);
        (Name, Expected, Fresh, NotAfter) = (null, null, null, 0);
        (Missing, DataChanged, EntryChanged, IsStable, NotTrusted) = (false, false, false, false, false);
    }

    internal Span<Extent> WantPages(int count)
    {
        if (Pages.Length < count) (Pages, Zero) = (new Extent[RequestSlot.MaxExtents], new bool[RequestSlot.MaxExtents]);
        PageCount = count;
        return Pages.AsSpan(0, count);
    }
}
