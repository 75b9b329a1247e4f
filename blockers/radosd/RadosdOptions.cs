using Archipelago.Runtime.Configuration;

namespace Archipelago.Radosd;

/// <summary>What a radosd serves and how: the values of a section <c>[radosd]</c>. <c>README.md</c> describes each.</summary>
public sealed record RadosdOptions
{
    /// <summary>Largest object and largest transfer: 4 MiB.</summary>
    public const int MaxObject = 4 << 20;

    /// <summary>The option <c>ceph-conf</c>.</summary>
    public static readonly OptionSpec<string> CephConfOption = Option.Path(
        "ceph-conf", "/etc/ceph/ceph.conf", "The Ceph configuration: monitors, keyring.");

    /// <summary>The option <c>client</c>.</summary>
    public static readonly OptionSpec<string> ClientOption = Option.Text(
        "client", "admin", "The RADOS user, without \"client.\". It needs 'profile rbd' (or 'allow *') at the monitors, which "
        + "allows it to blocklist a dead predecessor, and read, write and object classes in the pool.", 1, 255);

    /// <summary>The option <c>pool</c>.</summary>
    public static readonly OptionSpec<string> PoolOption = Option.Text("pool", "archipelago", "The pool that holds the objects. It must exist.", 1, 255);

    /// <summary>The option <c>namespace</c>.</summary>
    public static readonly OptionSpec<string> NamespaceOption = Option.Text(
        "namespace", "", "The namespace within the pool, of the objects and of the locks on volumes.", 0, 255);

    /// <summary>The option <c>max-ops</c>.</summary>
    public static readonly OptionSpec<long> MaxOperationsOption = Option.Integer(
        "max-ops", "512", 1, 1 << 20, "Most operations in flight at RADOS; others wait here. All must stay 64 below Ceph's objecter_inflight_ops "
        + "(1,024), at which librados would block the whole peer.");

    /// <summary>The option <c>max-writes</c>.</summary>
    public static readonly OptionSpec<long> MaxWritesOption = Option.Integer(
        "max-writes", "384", 1, 1 << 20, "Most operations in flight that change something, so that reads find room beside a storm of writes.");

    /// <summary>The option <c>max-bytes</c>.</summary>
    public static readonly OptionSpec<long> MaxBytesOption = Option.Bytes(
        "max-bytes", "64M", MaxObject, 1L << 32, "Most payload bytes in flight at RADOS. It must stay 4 MiB below Ceph's objecter_inflight_op_bytes (100 MiB).");

    /// <summary>The option <c>connect-timeout</c>.</summary>
    public static readonly OptionSpec<TimeSpan> ConnectTimeoutOption = Option.Duration(
        "connect-timeout", "20s", TimeSpan.FromSeconds(1), TimeSpan.FromHours(1), "How long one attempt to connect waits for a monitor.");

    /// <summary>The option <c>wait</c>.</summary>
    public static readonly OptionSpec<bool> WaitOption = Option.Boolean(
        "wait", "no", "Start also if RADOS cannot be reached or the pool is missing, and keep trying; requests wait meanwhile.");

    /// <summary>The option <c>state</c>.</summary>
    public static readonly OptionSpec<string> StateOption = Option.Path(
        "state", "", "A file that names the RADOS client instance in use, so that a successor can fence it. It must survive a crash of the "
        + "host and belong to this peer alone. May be empty only with allow-unfenced.");

    /// <summary>The option <c>allow-unfenced</c>.</summary>
    public static readonly OptionSpec<bool> AllowUnfencedOption = Option.Boolean(
        "allow-unfenced", "no", "Serve even where a dead predecessor cannot be fenced: a write of it that is still queued at an OSD may then "
        + "overwrite newer data. For disposable data only.");

    /// <summary>The option <c>fence-time</c>.</summary>
    public static readonly OptionSpec<TimeSpan> FenceTimeOption = Option.Duration(
        "fence-time", "24h", TimeSpan.FromMinutes(1), TimeSpan.FromDays(365), "How long a dead predecessor stays on the cluster's blocklist.");

    /// <summary>The table of <c>[radosd]</c>.</summary>
    public static readonly SectionSpec Section = SectionSpec.Variant(
        "peer", "radosd", "The blocker that keeps objects in a RADOS pool.",
        [
            CephConfOption, ClientOption, PoolOption, NamespaceOption, MaxOperationsOption, MaxWritesOption, MaxBytesOption,
            ConnectTimeoutOption, WaitOption, StateOption, AllowUnfencedOption, FenceTimeOption,
        ]);

    /// <summary>Path of the Ceph configuration.</summary>
    public required string CephConf { get; init; }
    /// <summary>RADOS user without <c>client.</c>.</summary>
    public string Client { get; init; } = "admin";
    /// <summary>Name of the pool.</summary>
    public string Pool { get; init; } = "archipelago";
    /// <summary>Namespace in the pool; empty for the default one.</summary>
    public string Namespace { get; init; } = "";
    /// <summary>Most operations in flight, at least 1.</summary>
    public int MaxOperations { get; init; } = 512;
    /// <summary>Most operations in flight that change something, at least 1.</summary>
    public int MaxWrites { get; init; } = 384;
    /// <summary>Most payload bytes in flight, at least 4 MiB.</summary>
    public long MaxBytes { get; init; } = 64L << 20;
    /// <summary>Limit of one attempt to connect, whole seconds.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(20);
    /// <summary>Start without RADOS and keep trying.</summary>
    public bool Wait { get; init; }
    /// <summary>File that names the instance in use; empty for none.</summary>
    public string State { get; init; } = "";
    /// <summary>Serve even where a predecessor cannot be fenced.</summary>
    public bool AllowUnfenced { get; init; }
    /// <summary>How long a fence lasts.</summary>
    public TimeSpan FenceTime { get; init; } = TimeSpan.FromHours(24);

    /// <summary>The options of a section of this table.</summary>
    public static RadosdOptions From(ConfigSection section)
    {
        if (section.Get(StateOption).Length == 0 && !section.Get(AllowUnfencedOption))
            throw section.Refuse(StateOption, "a file (or allow-unfenced = yes)");
        return new RadosdOptions
        {
            CephConf = section.Get(CephConfOption),
            Client = section.Get(ClientOption),
            Pool = section.Get(PoolOption),
            Namespace = section.Get(NamespaceOption),
            MaxOperations = (int)section.Get(MaxOperationsOption),
            MaxWrites = (int)section.Get(MaxWritesOption),
            MaxBytes = section.Get(MaxBytesOption),
            ConnectTimeout = section.Get(ConnectTimeoutOption),
            Wait = section.Get(WaitOption),
            State = section.Get(StateOption),
            AllowUnfenced = section.Get(AllowUnfencedOption),
            FenceTime = section.Get(FenceTimeOption),
        };
    }
}
