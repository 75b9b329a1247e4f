using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Data;

/// <summary>Where the parts of one request sum up. Pooled.</summary>
internal sealed class Gather(int window)
{
    internal readonly ValueTask<int>[] Parts = new ValueTask<int>[window];
    internal Gather? Next;
    internal ulong Serviced;
    internal ReplyFlags Reply;
    internal int Error;

    internal void Reset() => (Serviced, Reply, Error) = (0, ReplyFlags.Stable, 0);
}
