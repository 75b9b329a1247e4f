namespace Archipelago.Mapperd.Control;

/// <summary>An item of <c>POST /v1/volumes/NAME/map</c>: first the root's fields, then each chunk.</summary>
/// <param name="Map">The version as a whole, in the first item.</param>
/// <param name="Chunk">A chunk, in all others.</param>
public sealed record MapItem(MapHead? Map = null, MapChunk? Chunk = null);

/// <summary>A version of a volume as its header and directory say.</summary>
/// <param name="Name"><c>volume</c> or <c>volume@snapshot</c>.</param>
/// <param name="Id">Identity of the volume, 16 hex digits.</param>
/// <param name="Size">Bytes of the version.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="Objects">Objects of the version.</param>
/// <param name="Chunks">Chunks of its map.</param>
/// <param name="Header">Name of the object with root and snapshots.</param>
/// <param name="Directory">Name of the object with the directory.</param>
/// <param name="Layer">The own layer, 14 hex digits; of a snapshot what it was until then.</param>
/// <param name="Number">Number of the snapshot, 0 for the volume itself.</param>
/// <param name="Parent">Number of the snapshot from which it has come, 0 for none of this volume.</param>
/// <param name="BaseVolume">Identity of the volume that it was cloned from.</param>
/// <param name="BaseSnapshot">Number of the snapshot that it was cloned from.</param>
/// <param name="NextSnapshot">Number of the next snapshot.</param>
/// <param name="Slots">Sectors behind the root that may hold a snapshot.</param>
/// <param name="Epoch">Epoch of the lock at the last open for writing.</param>
/// <param name="Sequence">Writes of the root.</param>
/// <param name="Faults">Records of snapshots that are damaged.</param>
public sealed record MapHead(
    string Name, string Id, ulong Size, int ObjectSize, ulong Objects, int Chunks, string Header, string Directory, string Layer, ulong Number, ulong Parent,
    string? BaseVolume, ulong? BaseSnapshot, ulong NextSnapshot, int Slots, ulong Epoch, ulong Sequence, IReadOnlyList<string> Faults);

/// <summary>A word of the directory, and the entries of its chunk.</summary>
/// <param name="Index">Number of the chunk.</param>
/// <param name="First">First object that it maps.</param>
/// <param name="Object">Name of its object; null if there is none: all entries are then like the word.</param>
/// <param name="Layer">Layer of the word, 14 hex digits; null if it is damaged.</param>
/// <param name="Runs">Its entries; those beyond the size are left out.</param>
/// <param name="Damaged">What is damaged, with its place.</param>
public sealed record MapChunk(int Index, ulong First, string? Object, string? Layer, IReadOnlyList<MapRun> Runs, IReadOnlyList<string> Damaged);

/// <summary>Entries in a row that say the same.</summary>
/// <param name="First">First object.</param>
/// <param name="Count">How many.</param>
/// <param name="Layer">In which layer they are, 14 hex digits; null if the entries are damaged.</param>
/// <param name="Present">They exist for sure; otherwise they may, and read as zeros if they do not.</param>
public sealed record MapRun(ulong First, ulong Count, string? Layer, bool Present);

/// <summary>The body of <c>POST /v1/volumes/NAME/diff</c>.</summary>
/// <param name="From">The version to compare with, <c>volume@snapshot</c> or <c>volume</c>.</param>
public sealed record DiffRequest(string? From);

/// <summary>An item of its answer.</summary>
/// <param name="Done">Chunks compared.</param>
/// <param name="Of">Of how many.</param>
/// <param name="Extents">What differs in those of this item.</param>
public sealed record DiffItem(ulong Done, ulong Of, IReadOnlyList<DiffExtent> Extents);

/// <summary>Bytes that may differ: whole objects, cut off at the end of the volume.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Kind"><c>data</c>; <c>zero</c>: reads as zeros now; <c>unknown</c>: the map is damaged there.</param>
public sealed record DiffExtent(ulong Offset, ulong Length, string Kind);

/// <summary>An item of <c>POST /v1/volumes/NAME/usage</c>.</summary>
/// <param name="Done">Objects looked at.</param>
/// <param name="Of">Of how many.</param>
/// <param name="Versions">In the last item: what each version takes, the volume itself last.</param>
/// <param name="Total">In the last item: what they take together.</param>
public sealed record UsageItem(ulong Done, ulong Of, IReadOnlyList<VersionUsage>? Versions = null, UsageTotal? Total = null);

/// <summary>What all versions of a volume take in the store together: an object that several share counts once.</summary>
/// <param name="Bytes">Bytes of objects.</param>
/// <param name="Objects">Objects.</param>
/// <param name="OriginBytes">Of these bytes those that the snapshot refers to, too, from which the volume was cloned.</param>
/// <param name="OriginObjects">Of the objects the same.</param>
public sealed record UsageTotal(ulong Bytes, ulong Objects, ulong OriginBytes, ulong OriginObjects);

/// <summary>What a version takes in the store.</summary>
/// <param name="Name"><c>volume</c> or <c>volume@snapshot</c>; <c>volume@#N</c> for what is being removed.</param>
/// <param name="State"><c>ok</c> or <c>deleting</c>.</param>
/// <param name="Size">Bytes that its user sees.</param>
/// <param name="OwnBytes">Bytes of objects that no version next to it refers to: what its removal would free.</param>
/// <param name="SharedBytes">Bytes of the others.</param>
/// <param name="OwnObjects">Objects of the first kind.</param>
/// <param name="SharedObjects">Objects of the second kind.</param>
/// <param name="DamagedObjects">Objects of which the map does not say where they are.</param>
public sealed record VersionUsage(
    string Name, string State, ulong Size, ulong OwnBytes, ulong SharedBytes, ulong OwnObjects, ulong SharedObjects, ulong DamagedObjects);

/// <summary>An item of <c>POST /v1/volumes/NAME/hash</c>.</summary>
/// <param name="Done">Objects hashed.</param>
/// <param name="Of">Of how many.</param>
/// <param name="Hash">In the last item: 64 hex digits.</param>
public sealed record HashItem(ulong Done, ulong Of, string? Hash = null);

/// <summary>An item of <c>POST /v1/gc</c> (<c>?dry-run=true</c>: nothing is removed).</summary>
/// <param name="Step">What it is at, in words; at last <c>done</c>.</param>
/// <param name="Count">Objects, or volumes, looked at in this step.</param>
/// <param name="Result">In the last item: what was found and done.</param>
public sealed record CollectItem(string Step, long Count, CollectResult? Result = null);

/// <summary>What a collection has found and done.</summary>
/// <param name="Objects">Objects of the store.</param>
/// <param name="Unreferenced">Of them those that nothing refers to.</param>
/// <param name="Removed">Of these those that were removed.</param>
/// <param name="Foreign">Objects that are nothing of ours; they are left alone.</param>
/// <param name="Skipped">What was not looked at, and why.</param>
public sealed record CollectResult(long Objects, long Unreferenced, long Removed, long Foreign, IReadOnlyList<string> Skipped);

/// <summary>The body of <c>POST /v1/fsck</c>.</summary>
/// <param name="Volume">Name of the volume to check; null for all, and what is of none.</param>
/// <param name="Objects">Look also for the objects that maps say exist, and (of all) count those that nothing refers to.</param>
/// <param name="Repair">Put right what follows from the headers.</param>
/// <param name="GiveUp">Give the named volume up if its header is missing or damaged.</param>
public sealed record CheckRequest(string? Volume = null, bool Objects = false, bool Repair = false, bool GiveUp = false);

/// <summary>An item of its answer.</summary>
/// <param name="Step">What it is at, in words; at last <c>done</c>.</param>
/// <param name="Count">Objects looked at in this step.</param>
/// <param name="Finding">Something that is wrong, found twice.</param>
/// <param name="Result">In the last item: the sums.</param>
public sealed record CheckItem(string Step, long Count, CheckFinding? Finding = null, CheckResult? Result = null);

/// <summary>Something of the store that does not agree with the rest.</summary>
/// <param name="Volume"><c>volume</c> or <c>volume@snapshot</c>; empty if it is of none that is known.</param>
/// <param name="Object">Object of the store, with the sector where it is one of the catalogue.</param>
/// <param name="What">What is wrong with it.</param>
/// <param name="Advice">What to do.</param>
/// <param name="Offset">First byte of the volume that cannot be reached because of it; null if it costs none.</param>
/// <param name="Length">Bytes from there on.</param>
/// <param name="Repairable"><c>--repair</c> can put it right.</param>
/// <param name="Repaired">It was put right, or its volume given up.</param>
public sealed record CheckFinding(string Volume, string Object, string What, string Advice, ulong? Offset, ulong? Length, bool Repairable, bool Repaired);

/// <summary>What a check has looked at and found.</summary>
/// <param name="Volumes">Volumes whose maps were checked.</param>
/// <param name="Entries">Objects whose entries were checked; what versions share counts once.</param>
/// <param name="Problems">Findings that were not repaired.</param>
/// <param name="Repaired">Findings that were.</param>
/// <param name="Unreferenced">Objects that nothing refers to; null if they were not counted.</param>
/// <param name="Skipped">What was not looked at, and why.</param>
public sealed record CheckResult(long Volumes, long Entries, long Problems, long Repaired, long? Unreferenced, IReadOnlyList<string> Skipped);

/// <summary>The body of <c>POST /v1/volumes/NAME/assemble</c>: creates a volume of copies of objects of the store.</summary>
/// <param name="Objects">Names in the volume's order; null or empty for a hole.</param>
/// <param name="Size">Bytes of the volume; null for those of all objects.</param>
/// <param name="ObjectSize">Bytes of an object; null for the configured size.</param>
public sealed record AssembleRequest(IReadOnlyList<string?>? Objects, ulong? Size = null, int? ObjectSize = null);

/// <summary>An item of its answer.</summary>
/// <param name="Step">What it is at, in words; at last <c>done</c>.</param>
/// <param name="Done">Objects done in this step.</param>
/// <param name="Of">Of how many.</param>
/// <param name="Id">In the last item: identity of the volume, 16 hex digits.</param>
public sealed record AssembleItem(string Step, long Done, long Of, string? Id = null);
