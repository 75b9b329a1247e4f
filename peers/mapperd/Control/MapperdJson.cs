using System.Text.Json.Serialization;

namespace Archipelago.Mapperd.Control;

/// <summary>A snapshot as the control plane shows it.</summary>
/// <param name="Name">Name; empty for what a shrink or rollback left.</param>
/// <param name="Number">Number within the volume.</param>
/// <param name="Parent">Number of the snapshot from which it has come, 0 for none.</param>
/// <param name="Size">Bytes.</param>
/// <param name="CreatedAt">Creation, UTC.</param>
/// <param name="State"><c>ok</c> or <c>deleting</c>.</param>
/// <param name="Clones">Volumes that were cloned from it.</param>
public sealed record SnapshotInfo(string Name, ulong Number, ulong Parent, ulong Size, DateTimeOffset CreatedAt, string State, IReadOnlyList<string> Clones);

/// <summary>A volume as the control plane shows it.</summary>
/// <param name="Name">Name.</param>
/// <param name="Id">Identity, 16 hex digits.</param>
/// <param name="Size">Bytes.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="CreatedAt">Creation, UTC.</param>
/// <param name="State"><c>ok</c>, <c>deleting</c> or <c>damaged</c>.</param>
/// <param name="Fault">What is wrong with a damaged one.</param>
/// <param name="Base">Snapshot that it was cloned from, <c>volume@snapshot</c>.</param>
/// <param name="Parent">Number of the own snapshot from which its present state has come, 0 for none.</param>
/// <param name="Epoch">Epoch of its lock at the last open for writing.</param>
/// <param name="Snapshots">Its snapshots, oldest first; null in lists that do not ask for them.</param>
/// <param name="Objects">Objects that its size takes; null in lists.</param>
/// <param name="Lock">Its lock; null in lists.</param>
/// <param name="Removal">What of it is being deleted in the background; null if nothing is. In lists only of volumes that are deleted, by the host that does it.</param>
/// <param name="Flattening">How far a flatten that goes on is, in objects; null without one.</param>
public sealed record VolumeInfo(
    string Name, string Id, ulong Size, int ObjectSize, DateTimeOffset? CreatedAt, string State, string? Fault = null, string? Base = null, ulong Parent = 0, ulong Epoch = 0,
    IReadOnlyList<SnapshotInfo>? Snapshots = null, ulong? Objects = null, LockInfo? Lock = null, RemovalInfo? Removal = null, WorkDone? Flattening = null);

/// <summary>How far something is.</summary>
/// <param name="Done">What is done.</param>
/// <param name="Of">Of how much.</param>
public sealed record WorkDone(ulong Done, ulong Of);

/// <summary>Versions of a volume that nobody can name any more, and whose objects are being deleted.</summary>
/// <param name="Versions">How many.</param>
/// <param name="Work">How far the one at hand is, in chunks of its map; null while they wait, for clones or for a lock.</param>
public sealed record RemovalInfo(int Versions, WorkDone? Work);

/// <summary>The exclusive lock of a volume.</summary>
/// <param name="State">
/// <c>free</c>; <c>open</c>: open for writing on this host; <c>kept</c>: taken by `volume lock` on this host; <c>busy</c>: this host is at work on the volume;
/// <c>elsewhere</c>: another host has it; <c>lost</c>: it was open here, and is another host's, or nobody's, now: whoever has it open here must close it; <c>unknown</c>: its record cannot be read.
/// </param>
/// <param name="Owner">Host and process that hold it.</param>
/// <param name="Address">The instance of a blocker that writes under it.</param>
/// <param name="Since">When it was taken, by the holder's clock.</param>
/// <param name="Renewed">When the holder said last that it lives, by its clock.</param>
/// <param name="LeaseSeconds">How long the holder may be silent before another host may take the lock.</param>
/// <param name="Epoch">Rises with each new holder.</param>
/// <param name="Fault">Why it is unknown.</param>
/// <param name="Kept">This host keeps it by `volume lock`, whoever has the volume open.</param>
public sealed record LockInfo(
    string State, string? Owner = null, string? Address = null, DateTimeOffset? Since = null, DateTimeOffset? Renewed = null, double? LeaseSeconds = null, ulong? Epoch = null, string? Fault = null, bool Kept = false);

/// <summary>The answer of <c>GET /v1/volumes</c>.</summary>
/// <param name="Volumes">Sorted by name.</param>
public sealed record VolumeList(IReadOnlyList<VolumeInfo> Volumes);

/// <summary>The section of mapperd in <c>GET /v1/status</c>, and the answer of <c>GET /v1/mapperd</c>.</summary>
/// <param name="Open">Volumes open for writing here.</param>
/// <param name="Removals">Removals of snapshots and volumes that go on in the background.</param>
/// <param name="Chunks">Chunks of maps in memory.</param>
/// <param name="DamagedRecords">Records of the catalogue that are left alone, with the reason.</param>
public sealed record MapperdStatus(IReadOnlyList<string> Open, int Removals, int Chunks, IReadOnlyList<string> DamagedRecords);

/// <summary>Serializers of mapperd's control plane, made at compile time.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(VolumeList))]
[JsonSerializable(typeof(VolumeInfo))]
[JsonSerializable(typeof(MapperdStatus))]
[JsonSerializable(typeof(LockInfo))]
[JsonSerializable(typeof(MapItem))]
[JsonSerializable(typeof(DiffRequest))]
[JsonSerializable(typeof(DiffItem))]
[JsonSerializable(typeof(UsageItem))]
[JsonSerializable(typeof(HashItem))]
[JsonSerializable(typeof(CollectItem))]
[JsonSerializable(typeof(CheckRequest))]
[JsonSerializable(typeof(CheckItem))]
[JsonSerializable(typeof(AssembleRequest))]
[JsonSerializable(typeof(AssembleItem))]
public sealed partial class MapperdJson : JsonSerializerContext;
