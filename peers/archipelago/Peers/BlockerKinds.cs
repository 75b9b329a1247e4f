using Archipelago.Memd;

namespace Archipelago.Cli.Peers;

/// <summary>The blockers.</summary>
internal static class BlockerKinds
{
    private const int Pages = 4096;

    internal static PeerKind Memd { get; } = new(
        "memd", "Objects in RAM, with programmable latency and faults: for tests and benchmarks. Nothing survives the process.",
        "blocks", Pages, MemdOptions.All,
        (kind, section) =>
        {
            var peer = new MemdPeer(MemdOptions.From(section), kind.Name);
            return new MadePeer(peer) { Pages = kind.ShareOf(section) };
        });
}
