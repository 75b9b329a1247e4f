using System.Text.Json.Serialization;
using Archipelago.Cli.Commands.Volumes;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime.Control;

namespace Archipelago.Cli.Daemon;

/// <summary>A volume and how the gateways name it.</summary>
internal sealed record VolumeUris(string Name, IReadOnlyList<string> Uris);

/// <summary>What `up` says when all runs. Log: null for a process in the foreground.</summary>
internal sealed record UpReport(int Pid, string Socket, string State, string Segment, string? Log, IReadOnlyList<VolumeUris> Volumes);

/// <summary>A process that `down` has ended.</summary>
internal sealed record EndedProcess(int Pid, string Name);

/// <summary>What `down` and `segment destroy` did: the segment that was removed by name, or null.</summary>
internal sealed record DownReport(IReadOnlyList<EndedProcess> Ended, string? RemovedSegment);

/// <summary>A value of a configuration and where it comes from.</summary>
internal sealed record ConfigEntry(string Value, string From);

/// <summary>A configuration in force, by section and key; and the peers that `up` starts.</summary>
internal sealed record ConfigView(IReadOnlyList<string> Starts, IReadOnlyDictionary<string, IReadOnlyDictionary<string, ConfigEntry>> Sections);

/// <summary>An option of a configuration. Default: null if it is required.</summary>
internal sealed record OptionView(string Key, string Value, string? Default, string Accepts, string Description);

/// <summary>A section of a configuration with all of its options.</summary>
internal sealed record SectionView(string Name, string Summary, IReadOnlyList<OptionView> Options);

/// <summary>What `down` asks for. CheckOnly: makes the data stable and asks whoever is needed for the end, and stops nothing.</summary>
internal sealed record StopRequest(bool DiscardDirty, bool KeepSegment, double? TimeoutSeconds, bool CheckOnly = false);

/// <summary>A step of `down`.</summary>
internal sealed record StopStep(string Message, long DirtyPages);

/// <summary>A volume, as mapperd describes it, and how it is reached. Sizes in bytes.</summary>
internal sealed record VolumeView(
    string Name, ulong Size, int ObjectSize, DateTimeOffset? CreatedAt, int Openers, string State, string? Fault, string? Base, IReadOnlyList<string> Uris)
{
    public string? Id { get; init; }
    public ulong? Objects { get; init; }
    public ulong Parent { get; init; }
    /// <summary>Null where it is not known, as in lists.</summary>
    public ulong? Epoch { get; init; }
    /// <summary>Of the openers those by `volume open`.</summary>
    public int OpenersByCommand { get; init; }
    /// <summary>Of `volume close`: for what it was open, <c>write</c>, <c>read</c> or <c>standby</c>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Closed { get; init; }
    public IReadOnlyList<SnapshotInfo>? Snapshots { get; init; }
    public LockInfo? Lock { get; init; }
    public RemovalInfo? Removal { get; init; }
    public WorkDone? Flattening { get; init; }
}

/// <summary>A snapshot, and how it is reached. Sizes in bytes; Id: of its volume.</summary>
internal sealed record SnapshotView(
    string Name, string Id, ulong Number, ulong Parent, ulong Size, int ObjectSize, ulong Objects, DateTimeOffset CreatedAt, string State, int Openers, IReadOnlyList<string> Clones,
    IReadOnlyList<string> Uris)
{
    /// <summary>Of the openers those by `volume open`.</summary>
    public int OpenersByCommand { get; init; }
    /// <summary>Of `volume close`: <c>read</c>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Closed { get; init; }
}

/// <summary>What `volume delete` has deleted: a <c>volume</c> or a <c>snapshot</c>.</summary>
internal sealed record DeletedView(string Name, string Kind);

/// <summary>The lock of a volume, as `volume lock` and `unlock` leave it; KilledProcess: that of this machine that had it when it was broken.</summary>
internal sealed record LockView(
    string Name, string State, string? Owner, string? Address, DateTimeOffset? Since, DateTimeOffset? Renewed, double? LeaseSeconds, ulong? Epoch, string? Fault, bool Kept, int? KilledProcess)
{
    internal static LockView Of(string name, LockInfo l, int? killed) => new(name, l.State, l.Owner, l.Address, l.Since, l.Renewed, l.LeaseSeconds, l.Epoch, l.Fault, l.Kept, killed);
}

/// <summary>The answer of `volume map`. Base: name of what the volume was cloned from, null if it was not, or the name is not known.</summary>
internal sealed record MapView(MapHead Map, IReadOnlyList<MapChunk> Chunks, string? Base);

/// <summary>The answer of `volume diff`.</summary>
internal sealed record DiffView(string From, string To, IReadOnlyList<DiffExtent> Extents);

/// <summary>The answer of `volume du`.</summary>
internal sealed record UsageView(IReadOnlyList<VersionUsage> Versions, UsageSum Total);

/// <summary>The answer of `volume hash`.</summary>
internal sealed record HashView(string Name, string Hash);

/// <summary>The answer of `volume gc`.</summary>
internal sealed record CollectView(bool DryRun, CollectResult Result);

/// <summary>What `volume fsck` prints as JSON.</summary>
internal sealed record CheckView(IReadOnlyList<CheckFinding> Findings, CheckResult Result);

/// <summary>The answer of `volume import` and `volume export`. Bytes: of the volume.</summary>
internal sealed record TransferReport(string Volume, string File, string Format, long Bytes, bool Verified);

/// <summary>All volumes.</summary>
internal sealed record VolumesView(IReadOnlyList<VolumeView> Volumes);

/// <summary>A flow of the segment, with what is cached of it.</summary>
internal sealed record FlowInfo(
    string Name, int Number, string Policy, bool SafeUntilFlush, bool HasFlushed, bool Degraded, long CachedPages, long DirtyPages);

/// <summary>The flows of the segment.</summary>
internal sealed record FlowList(IReadOnlyList<FlowInfo> Flows);

/// <summary>A port of the segment. State: alive, hung, dead.</summary>
internal sealed record PortInfo(
    int Number, string Name, string State, int Pid, long Life, double HeartbeatAgeSeconds, long PageShare, int SlotsUsed, string Routes,
    ulong Accepted, ulong BadRequests, ulong StaleEntries, ulong CorruptEntries, ulong Replayed, ulong Kept, bool Transient);

/// <summary>A request of the segment that is not free.</summary>
internal sealed record RequestInfo(
    uint Slot, uint Generation, string State, string Issuer, string Holder, string Op, string Target, ulong Offset, ulong Length, uint Flow,
    int Status, int Attempts, string Parent, string Path);

/// <summary>What memory a process has of the segment.</summary>
internal sealed record ProcessMemory(int Pid, long ResidentBytes, long HugeBytes, long LockedBytes);

/// <summary>The geometry of the segment and what its pages are used for; and, if asked, what the processes that serve it have of it.</summary>
internal sealed record SegmentInfo(
    string Directory, string CreationId, long Bytes, uint Pages, IReadOnlyDictionary<string, long> PagesByState, long DirtyPages, int Ports, int SlotsPerPort,
    int Flows, int Objects, ulong Epoch, IReadOnlyList<ProcessMemory>? Memory = null);

/// <summary>A finding of `segment fsck`.</summary>
internal sealed record FsckLine(string Kind, bool Fault, bool Repairable, string Text);

/// <summary>The answer of `segment fsck`.</summary>
internal sealed record FsckView(bool Clean, int LivePorts, int SlotsInUse, int Repaired, IReadOnlyList<FsckLine> Findings);

/// <summary>One process and its report; the report is null, and error says why, if it does not answer.</summary>
internal sealed record ProcessInfo(int Pid, string Socket, StatusReport? Report, string? Error);

/// <summary>The answer of `archipelago status`.</summary>
internal sealed record FullStatus(string State, bool Running, IReadOnlyList<ProcessInfo> Processes, SegmentInfo? Segment, IReadOnlyList<PortInfo> Ports);

/// <summary>Serializers of the control plane and of the commands, made at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(StopRequest))]
[JsonSerializable(typeof(StopStep))]
[JsonSerializable(typeof(VolumesView))]
[JsonSerializable(typeof(SnapshotView))]
[JsonSerializable(typeof(DeletedView))]
[JsonSerializable(typeof(LockView))]
[JsonSerializable(typeof(MapView))]
[JsonSerializable(typeof(DiffView))]
[JsonSerializable(typeof(UsageView))]
[JsonSerializable(typeof(HashView))]
[JsonSerializable(typeof(CollectView))]
[JsonSerializable(typeof(CheckView))]
[JsonSerializable(typeof(TransferReport))]
[JsonSerializable(typeof(Commands.Images.TransferState))]
[JsonSerializable(typeof(FlowList))]
[JsonSerializable(typeof(IReadOnlyList<PortInfo>))]
[JsonSerializable(typeof(IReadOnlyList<RequestInfo>))]
[JsonSerializable(typeof(FsckView))]
[JsonSerializable(typeof(FullStatus))]
[JsonSerializable(typeof(UpReport))]
[JsonSerializable(typeof(DownReport))]
[JsonSerializable(typeof(ConfigView))]
[JsonSerializable(typeof(IReadOnlyList<SectionView>))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class DaemonJson : JsonSerializerContext;
