using Archipelago.Filed.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Filed.Storage;

/// <summary>
/// What is known of one object: its open file, what of it is not stable yet, and the requests that use it. Belongs to the
/// reactor but for the descriptors, which the I/O threads open under <see cref="Gate"/>; they are closed by whoever uses the
/// object alone.
/// </summary>
internal sealed class StoredObject(Hash128 hash, byte[] name)
{
    internal readonly Hash128 Hash = hash;
    internal readonly byte[] Name = name;
    internal readonly string Path = ObjectTree.PathOf(hash, name);
    internal readonly Lock Gate = new();
    /// <summary>Descriptor, or −1.</summary>
    internal volatile int Fd = -1;
    /// <summary>Descriptor for direct I/O, or −1.</summary>
    internal volatile int DirectFd = -1;
    /// <summary>Raised after each change of the directory entry, by the thread that made it.</summary>
    internal int EntryChanges;
    /// <summary>The <see cref="EntryChanges"/> that a sync is known to cover: a change during a sync is not.</summary>
    internal volatile int EntryStableAt = -1;
    /// <summary>
    /// Held during each sync of the data. The kernel tells a descriptor of a failed write-back once, whoever asks; then it forgets. So
    /// that whoever asks next knows, the failure is counted before he can ask.
    /// </summary>
    internal readonly Lock SyncGate = new();
    /// <summary>Failed syncs of the data. Changed under <see cref="SyncGate"/>.</summary>
    internal volatile int SyncFailures;
    /// <summary>Failures that all flows with data at stake have been told of.</summary>
    internal int SyncFailuresTold;

    /// <summary>Counts changes of the data, and what of them is stable.</summary>
    internal long Writes, WritesStable;
    /// <summary>Counts changes of the directory entry, and what of them is stable.</summary>
    internal long Entries, EntriesStable;
    /// <summary>Flows with changes that are not stable.</summary>
    internal readonly List<uint> Flows = new(1);
    /// <summary>It is in the list of dirty objects, at <see cref="Place"/>.</summary>
    internal bool Listed;
    internal int Place;

    /// <summary>Requests that use the object, in the order in which they came.</summary>
    internal Hold? FirstHold, LastHold;
    internal StoredObject? NextInBucket;
    internal StoredObject? Newer, Older;

    internal bool IsDirty => Writes != WritesStable || Entries != EntriesStable;
    internal bool IsIdle => FirstHold == null;
    internal bool IsOpen => Fd >= 0 || DirectFd >= 0;
}
