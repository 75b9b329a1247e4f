using Archipelago.Runtime;

namespace Archipelago.Cli.Peers;

/// <summary>All kinds of peers, from the blockers up: the order in which they are started.</summary>
internal static class PeerCatalogue
{
    internal static IReadOnlyList<PeerKind> Kinds { get; } =
        [BlockerKinds.Memd, BlockerKinds.Filed, BlockerKinds.Radosd, ServiceKinds.Cached, ServiceKinds.Mapperd, ServiceKinds.Vlmcd, NbdKind.Nbd];

    internal static IEnumerable<string> Names => Kinds.Select(k => k.Name);

    /// <summary>The kinds with these names, in the order of starting.</summary>
    internal static IReadOnlyList<PeerKind> Named(IEnumerable<string> names)
    {
        var wanted = names.SelectMany(n => n.Split(',', StringSplitOptions.RemoveEmptyEntries)).ToHashSet(StringComparer.Ordinal);
        PeerKind[] found = [.. Kinds.Where(k => wanted.Remove(k.Name))];
        return wanted.Count == 0 ? found
            : throw new CommandLine.UsageException($"PEER: expected {string.Join(", ", Names)}, found {string.Join(", ", wanted)}");
    }
}
