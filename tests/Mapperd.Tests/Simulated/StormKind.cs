namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>What happens in a storm beside requests.</summary>
internal sealed record StormKind(string Name)
{
    internal int Rounds { get; init; } = 120;
    internal int Hosts { get; init; } = 1;
    internal bool HasCache { get; init; }
    /// <summary>Peers, the blocker too, die at any store to the segment, or are restarted in order.</summary>
    internal bool Kills { get; init; }
    /// <summary>Whole hosts die, with their segments; a single one's store loses what was not flushed.</summary>
    internal bool HostsDie { get; init; }
    /// <summary>The store loses what was not flushed, mapperd and vlmcd die with it, and the segment and its clients live on.</summary>
    internal bool StoreLoses { get; init; }
    /// <summary>Volumes end at the borders of sectors and chunks of their maps.</summary>
    internal bool Borders { get; init; }
    /// <summary>Most requests at once.</summary>
    internal int Width { get; init; } = 3;
}
