namespace Archipelago.Cached;

/// <summary>
/// An entry of the object table that was found damaged after a restart while pages that the blocker does not hold stably name it: which object
/// they are of will be known when a request names it. See <see cref="Store.Keep(Orphan)"/>.
/// </summary>
internal sealed class Orphan(uint entry)
{
    internal readonly uint Entry = entry;
    /// <summary>The pages, with their flows as they were counted, and whether they were: those that are dirty are, as lost.</summary>
    internal readonly List<(uint Page, ushort Flow, bool IsLost)> Pages = [];
}
