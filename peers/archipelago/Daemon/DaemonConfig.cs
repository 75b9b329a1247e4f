using Archipelago.Cli.Peers;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Logging;
using Archipelago.Runtime.Metrics;
using Archipelago.Runtime.Scheduling;
using Archipelago.Mapperd;
using Archipelago.Maps;

namespace Archipelago.Cli.Daemon;

/// <summary>The configuration of a process of Archipelago: the tables of its own sections, and those of all kinds of peers.</summary>
internal sealed partial class DaemonConfig
{
    private static readonly OptionSpec<string> SegmentDirectory = Option.Path(
        "directory", "", "Directory of the segment, on a tmpfs or hugetlbfs. Without it: one below /dev/shm/archipelago that is named after the state directory.");

    private static readonly OptionSpec<long> SegmentPages = Option.Integer(
        "pages", "0", 0, 1 << 30, "4 KiB pages. 0 makes it large enough for the shares of all peers of this file, and \"spare\".");

    private static readonly OptionSpec<long> SegmentSpare = Option.Integer(
        "spare", "16384", 0, 1 << 30, "With pages = 0: pages beyond the peers' shares, for clients such as `archipelago bench`.");

    private static readonly OptionSpec<long> SegmentPorts = Option.Integer("ports", "16", 2, 64, "Ports: one per peer, and one for each client and process.");

    private static readonly OptionSpec<long> SegmentSlots = Option.Integer("slots", "1024", 16, 65536, "Request slots per port, a power of two.");

    private static readonly OptionSpec<long> SegmentFlows = Option.Integer("flows", "1024", 2, 65536, "Flows: volumes, snapshots and readers of volumes that are known to the segment at a time. Those of what nobody has open are freed for others.");

    private static readonly OptionSpec<long> SegmentObjects = Option.Integer(
        "objects", "0", 0, 16 << 20, "Objects that data may be cached of; 0 for a quarter of the pages.");

    private static readonly OptionSpec<long> SegmentRoutes = Option.Integer("routes", "32", 1, 1024, "Named routes.");

    private static readonly OptionSpec<bool> SegmentPrefault = Option.Boolean("prefault", "true", "Touch all memory at creation, so that nobody pays for it later.");

    private static readonly OptionSpec<TimeSpan> SegmentQuickDeath = Option.Duration(
        "quick-death", "5s", TimeSpan.Zero, TimeSpan.FromHours(1),
        "A peer that dies within this time of its start died quickly. After two in a row nothing is started on the segment until `archipelago segment fsck --clear-deaths`. 0: deaths are not counted.");

    private static readonly OptionSpec<SegmentLock> SegmentLocked = Option.Choice(
        "lock", "try", "Whether each process locks the segment in RAM, so that it is not swapped out. try warns where the limit (RLIMIT_MEMLOCK) does not allow it, yes refuses to start.",
        ("try", SegmentLock.Try), ("yes", SegmentLock.Yes), ("no", SegmentLock.No));

    private static readonly SectionSpec Segment = SectionSpec.Single(
        "segment", "The shared memory of all peers. Sizes count when the segment is made; one that exists keeps its own.",
        [SegmentDirectory, SegmentPages, SegmentSpare, SegmentPorts, SegmentSlots, SegmentFlows, SegmentObjects, SegmentRoutes, SegmentPrefault, SegmentLocked, SegmentQuickDeath]);

    private static readonly OptionSpec<TimeSpan> ReactorSpin = Option.Duration(
        "spin", "50us", TimeSpan.Zero, TimeSpan.FromSeconds(1),
        "Longest time that the reactor polls without work before it sleeps. Less saves CPU, more saves a wake-up of 15 to 25 µs.");

    private static readonly OptionSpec<long> ReactorCore = Option.Integer(
        "core", "-1", -1, 1023, "CPU core that the reactor's thread is pinned to; -1 leaves it to the kernel.");

    private static readonly SectionSpec Reactor = SectionSpec.Single(
        "reactor", "The thread that runs the peers of this process.", [ReactorSpin, ReactorCore]);

    private static readonly OptionSpec<string> FirstVolume = Option.Text(
        "first-volume", "", "Name of a volume that is made if there is none at all when the process starts; empty for none.", 0, 89);

    private static readonly OptionSpec<long> FirstVolumeSize = Option.Bytes("first-volume-size", "1G", 512, MaxVolumeBytes, "Its size.", 512);

    private static readonly OptionSpec<TimeSpan> DrainTimeout = Option.Duration(
        "drain-timeout", "60s", TimeSpan.FromMilliseconds(100), TimeSpan.FromDays(1),
        "At `down` and SIGTERM: how long the FLUSH may take that makes all data stable before anything is stopped.");

    private static readonly SectionSpec Up = SectionSpec.Single("up", "Start and end of the process.", [FirstVolume, FirstVolumeSize, DrainTimeout]);

    private readonly ConfigSources _sources;

    private DaemonConfig(Config config, ConfigSources sources, StateDirectory state) => (Config, _sources, State) = (config, sources, state);

    /// <summary>Name of the process of <c>up</c>; those of <c>run</c> are named after their peers.</summary>
    internal const string UpName = "up";

    private const string OfState = "state directory";

    /// <summary>All tables.</summary>
    internal static ConfigSchema Schema { get; } = new(
        [Up, Segment, Reactor, LogOptions.Section, ControlOptions.Section, MetricsOptions.Section, .. PeerCatalogue.Kinds.Select(k => k.Section)]);

    internal Config Config { get; }

    /// <summary>The same with what <c>up</c> takes from the state directory for its segment and its control socket, for people to read.</summary>
    internal Config WithDerived => ConfigLoader.Load(
        Schema,
        _sources with
        {
            Derived = [.. _sources.Derived, ("segment", SegmentDirectory.Key, SegmentPath, OfState), ("control", ControlOptions.SocketOption.Key, Control(UpName).SocketPath, OfState)],
        });

    internal StateDirectory State { get; }
    internal string SegmentPath => Config[Segment].Get(SegmentDirectory) is { Length: > 0 } path ? path : State.DefaultSegment;
    internal SegmentLock Lock => Config[Segment].Get(SegmentLocked);
    internal TimeSpan QuickDeathWindow => Config[Segment].Get(SegmentQuickDeath);
    internal TimeSpan Spin => Config[Reactor].Get(ReactorSpin);
    internal int Core => (int)Config[Reactor].Get(ReactorCore);
    internal string FirstVolumeName => Config[Up].Get(FirstVolume);
    internal long FirstVolumeBytes => Config[Up].Get(FirstVolumeSize);
    internal TimeSpan Drain => Config[Up].Get(DrainTimeout);
    internal LogOptions Log => LogOptions.From(Config);
    internal MetricsOptions Metrics => MetricsOptions.From(Config);
    internal ReactorOptions ReactorOptions => new() { Name = "reactor", MaximumSpin = Spin };
    internal IReadOnlyList<PeerKind> Enabled => [.. PeerCatalogue.Kinds.Where(k => k.IsEnabled(Config))];

    /// <summary>The route that leads to a peer of this kind; null for a gateway.</summary>
    internal string? RouteOf(PeerKind kind) => kind.Serves is { } serves ? Config[kind.Section].Get(serves) : null;

    /// <summary>The routes that a peer of this kind sends to.</summary>
    internal IEnumerable<string> RoutesUsedBy(PeerKind kind) => kind.Uses.Select(Config[kind.Section].Get);

    /// <summary>
    /// The control socket; a process of <c>run</c> that is not told another one has one named after its peers (and not after them
    /// alone: nbd.sock is the gateway's).
    /// </summary>
    internal ControlOptions Control(string name)
    {
        var options = ControlOptions.From(Config);
        return Config[ControlOptions.Section].IsSet(ControlOptions.SocketOption) ? options : options with { SocketPath = State.File(name == UpName ? "control.sock" : $"control.{name}.sock") };
    }

    /// <summary>Loads a file, or the embedded default if none is named. Environment and <paramref name="settings"/> go over it.</summary>
    /// <param name="state">The state directory.</param>
    /// <param name="file">The file; null for the embedded default.</param>
    /// <param name="settings">The arguments of --set.</param>
    /// <param name="hosted">Peers that run whether the configuration enables them or not.</param>
    internal static DaemonConfig Load(StateDirectory state, string? file, IReadOnlyList<string> settings, IReadOnlyList<PeerKind> hosted)
    {
        var sources = new ConfigSources
        {
            File = file is null ? null : Path.GetFullPath(file),
            BuiltIn = file is null ? Embedded : null,
            Environment = ConfigSources.ProcessEnvironment(),
            ReservedVariables = ["ARCHIPELAGO_STATE", "ARCHIPELAGO_CONFIG"],
            Settings = settings,
        };
        var config = ConfigLoader.Load(Schema, sources);
        // What depends on the state directory cannot be in the tables: it is set where nobody has set it.
        (string, string, string, string)[] defaults =
        [
            .. from kind in PeerCatalogue.Kinds
               where kind.IsEnabled(config) || hosted.Contains(kind)
               let section = config[kind.Section]
               from row in kind.StateDefaults
               let option = kind.Section.Options.First(o => o.Key == row.Key)
               where !section.IsSet(option)
               select (kind.Name, row.Key, row.Value(state.Path), OfState),
        ];
        if (defaults.Length > 0) config = ConfigLoader.Load(Schema, sources = sources with { Derived = defaults });
        var loaded = new DaemonConfig(config, sources, state);
        loaded.RefuseSharedRoutes();
        return loaded;
    }

    /// <summary>Whether a section is that of a peer that the embedded default does not run.</summary>
    internal static bool IsOffByDefault(SectionSpec section) =>
        PeerCatalogue.Kinds.Any(k => k.Section == section) && !Embedded.Contains($"[{section.Kind}]", StringComparison.Ordinal);

    /// <summary>Largest volume: 64 TiB.</summary>
    internal const long MaxVolumeBytes = (long)MapGeometry.MaxObjects * MapperdOptions.MaxObjectSize;

    /// <summary>What runs if no file is named.</summary>
    internal const string Embedded = """
        [up]
        first-volume = demo
        [filed]
        [cached]
        [mapperd]
        [vlmcd]
        [nbd]
        """;
}
