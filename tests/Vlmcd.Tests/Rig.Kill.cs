using Archipelago.Cached;
using Archipelago.Mapperd;

namespace Archipelago.Vlmcd.Tests;

/// <summary>Ends of peers, and their successors.</summary>
internal sealed partial class Rig
{
    /// <summary>kill -9 of vlmcd, and a successor. What hung at the cut has had no effect.</summary>
    internal void KillVlmcd(bool powerFailure = false) => Kill(mapperd: false, vlmcd: true, powerFailure);

    /// <summary>kill -9 of mapperd, and a successor.</summary>
    internal void KillMapperd(bool powerFailure = false) => Kill(mapperd: true, vlmcd: false, powerFailure);

    /// <summary>kill -9 of either or both, with a power failure of the store in between if asked for; then their successors.</summary>
    internal void Kill(bool mapperd, bool vlmcd, bool powerFailure = false)
    {
        if (mapperd) MapperdNode.StopReactor();
        if (vlmcd) VlmcdNode.StopReactor();
        OnStore(() =>
        {
            Cut.Mend();
            if (powerFailure) Memd.Crash();
            return true;
        });
        if (mapperd) MapperdNode.Bury();
        if (vlmcd) VlmcdNode.Bury();
        if (mapperd) StartMapperd();
        if (vlmcd) StartVlmcd();
    }

    /// <summary>The store works again.</summary>
    internal void Mend() => OnStore(() =>
    {
        Cut.Mend();
        return true;
    });

    /// <summary>An orderly stop of a peer, and a successor.</summary>
    internal void RestartMapperd()
    {
        MapperdNode.Stop();
        StartMapperd();
    }

    /// <summary>As <see cref="RestartMapperd"/>.</summary>
    internal void RestartVlmcd()
    {
        VlmcdNode.Stop();
        StartVlmcd();
    }

    /// <summary>kill -9 of the cache, and a successor.</summary>
    internal void KillCached()
    {
        CachedNode!.Kill();
        StartCached();
    }

    private void StartCached()
    {
        CachedNode = NewNode();
        Cached = CachedNode.Start(new CachedPeer(_cached!), "cached", "cache", _cached!.Pages + 64, keepsCachePages: true);
    }

    private void StartMapperd()
    {
        MapperdNode = NewNode();
        Mapperd = MapperdNode.Start(new MapperdPeer(_mapperd), "mapperd", "maps", 128);
    }

    private void StartVlmcd()
    {
        VlmcdNode = NewNode();
        Vlmcd = VlmcdNode.Start(_make(), "vlmcd", "volumes", 64);
    }
}
