using System.Net;
using Archipelago.Cached;
using Archipelago.Filed;
using Archipelago.Memd;
using Archipelago.Nbd;
using Archipelago.Radosd;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Routing;
using Archipelago.Mapperd;
using Archipelago.Vlmcd;

namespace Archipelago.Experiments.Roles;

/// <summary>Makes peers from settings "section.key=value", with the option tables of the peers themselves.</summary>
internal static class PeerMaker
{
    /// <summary>vlmcd that asks no maps: for measuring what they cost.</summary>
    internal const string DirectVlmcd = "vlmcd-direct";

    private static readonly OptionSpec<string> Socket = Option.Path("socket", "", "Unix socket.");

    private static readonly SectionSpec
        MemdSection = SectionSpec.Single("memd", "memd", MemdOptions.All),
        FiledSection = SectionSpec.Single("filed", "filed", FiledOptions.All),
        RadosdSection = SectionSpec.Single("radosd", "radosd", [.. RadosdOptions.Section.Options]),
        CachedSection = SectionSpec.Single("cached", "cached", CachedOptions.All),
        MapperdSection = SectionSpec.Single("mapperd", "mapperd", MapperdOptions.All),
        VlmcdSection = SectionSpec.Single("vlmcd", "vlmcd", VlmcdOptions.All),
        NbdSection = SectionSpec.Single("nbd", "nbd", [Socket]);

    /// <summary>Plans of the named peers, in the order given, which is that of starting.</summary>
    internal static List<PeerPlan> Plans(IEnumerable<string> peers, IReadOnlyList<string> settings)
    {
        // The schema has only the sections in use: a required option of another peer is nobody's business.
        var named = peers.ToList();
        var schema = new ConfigSchema([.. named.Select(SectionOf)]);
        var config = ConfigLoader.Load(schema, new ConfigSources { Settings = settings });
        return [.. named.Select(name => Plan(name, config[SectionOf(name)]))];
    }

    private static SectionSpec SectionOf(string peer) => peer switch
    {
        "memd" => MemdSection,
        "filed" => FiledSection,
        "radosd" => RadosdSection,
        "cached" => CachedSection,
        "mapperd" => MapperdSection,
        "vlmcd" or DirectVlmcd => VlmcdSection,
        "nbd" => NbdSection,
        _ => throw new ArgumentException($"peer '{peer}': expected memd, filed, radosd, cached, mapperd, vlmcd or nbd"),
    };

    private static PeerPlan Plan(string name, ConfigSection section)
    {
        const int BlockerPages = 4096;
        switch (name)
        {
            case "memd": return Blocker(name, new MemdPeer(MemdOptions.From(section)), BlockerPages);
            case "filed": return Blocker(name, new FiledPeer(FiledOptions.From(section)), BlockerPages);
            case "radosd": return Blocker(name, new RadosdPeer(RadosdOptions.From(section)), BlockerPages);
            case "cached":
                var cached = CachedOptions.From(section);
                return new PeerPlan { Name = name, Peer = new CachedPeer(cached), Serves = "cache", Pages = cached.Pages + 512, KeepsCachePages = true };
            case "mapperd":
                return new PeerPlan { Name = name, Peer = new MapperdPeer(MapperdOptions.From(section)), Serves = "maps", Pages = MapperdOptions.RecommendedPages };
            case "vlmcd" or DirectVlmcd:
                return new PeerPlan { Name = "vlmcd", Peer = new VlmcdPeer(VlmcdOptions.From(section), direct: name == DirectVlmcd), Serves = "volumes", Pages = VlmcdOptions.RecommendedPages };
            default:
                var nbd = new NbdOptions { SocketPath = section.Get(Socket) };
                return new PeerPlan { Name = name, Peer = new NbdPeer(nbd), Pages = nbd.Pages };
        }
    }

    private static PeerPlan Blocker(string name, Peer peer, int pages) => new() { Name = name, Peer = peer, Serves = "blocks", Pages = pages };
}
