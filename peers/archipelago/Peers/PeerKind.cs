using System.Text.Json.Nodes;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Metrics;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cli.Peers;

/// <summary>A peer that was made from its section, ready to be hosted.</summary>
internal sealed record MadePeer(Peer Peer)
{
    /// <summary>Pages of the peer's share.</summary>
    internal required int Pages { get; init; }
    /// <summary>Cached pages survive the process.</summary>
    internal bool KeepsCachePages { get; init; }
    /// <summary>What it adds to the control plane.</summary>
    internal IControlEndpoints? Endpoints { get; init; }
    /// <summary>What it adds to the metrics of its port.</summary>
    internal Action<MetricsRegistry>? AddMetrics { get; init; }
    /// <summary>What it adds to its section of the status. Any thread.</summary>
    internal Action<JsonObject>? AddStatus { get; init; }
}

/// <summary>
/// A kind of peer that this program can host: its section of the configuration, and how to make one. Adding a kind means one
/// instance in <see cref="PeerCatalogue"/>.
/// </summary>
internal sealed class PeerKind
{
    private readonly Func<PeerKind, ConfigSection, MadePeer> _make;

    /// <summary>A kind; <paramref name="serves"/> is its default route, null for a gateway; <paramref name="pages"/> its default share, null if an option of its own says it.</summary>
    internal PeerKind(
        string name, string summary, string? serves, int? pages, IEnumerable<OptionSpec> options, Func<PeerKind, ConfigSection, MadePeer> make)
    {
        (Name, _make) = (name, make);
        Enabled = Option.Boolean(
            "enabled", "true", $"Whether `archipelago up` starts this peer. Without this key it does so if the file has a section [{name}], or if --set sets an option of it.");
        var rows = new List<OptionSpec> { Enabled };
        if (serves is not null) rows.Add(Serves = Option.Text("serves", serves, "Name of the route that leads to this peer.", 1, 32));
        if (pages is { } share)
            rows.Add(Pages = Option.Integer("pages", share.ToString(System.Globalization.CultureInfo.InvariantCulture), LeastOf(share), 1 << 30, "4 KiB pages of the segment that are this peer's own."));
        rows.AddRange(options);
        Section = SectionSpec.Single(name, summary, [.. rows]);
    }

    /// <summary>A quarter, and a page for the list of extents: of a blocker's share a lent READ of 4 MiB, without which it would wait for ever.</summary>
    private static int LeastOf(int share) => (share / 4) + 1;

    /// <summary>Name of the peer, of its section, and (with ".0") of its port.</summary>
    internal string Name { get; }
    /// <summary>Option table.</summary>
    internal SectionSpec Section { get; }
    /// <summary>The option <c>enabled</c>.</summary>
    internal OptionSpec<bool> Enabled { get; }
    /// <summary>The option <c>serves</c>; null for a gateway.</summary>
    internal OptionSpec<string>? Serves { get; }
    /// <summary>The option <c>pages</c>; null if the peer's own options say how many.</summary>
    internal OptionSpec<long>? Pages { get; }
    /// <summary>The options that name the routes to the peers below; none for a blocker.</summary>
    internal IReadOnlyList<OptionSpec<string>> Uses { get; init; } = [];
    /// <summary>Options that, if nobody sets them, get a value that depends on the state directory.</summary>
    internal (string Key, Func<string, string> Value)[] StateDefaults { get; init; } = [];
    /// <summary>Which store the peer's data belongs to; null if it keeps none.</summary>
    internal Func<PeerKind, ConfigSection, StoreClaim>? Store { get; init; }
    /// <summary>How the volume NAME is reached, as URIs; null if this is no gateway.</summary>
    internal Func<ConfigSection, string, IEnumerable<string>>? UriOf { get; init; }

    /// <summary>Whether the configuration asks for the peer.</summary>
    internal bool IsEnabled(Config config)
    {
        var section = config[Section];
        return section.IsSet(Enabled) ? section.Get(Enabled) : section.IsWritten;
    }

    /// <summary>Makes the peer.</summary>
    /// <exception cref="ConfigException">Options contradict each other.</exception>
    internal MadePeer Make(Config config) => _make(this, config[Section]);

    /// <summary>The share that the common option gives.</summary>
    internal int ShareOf(ConfigSection section) => (int)section.Get(Pages!);
}
