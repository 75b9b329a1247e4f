using Archipelago.Xseg.Layout;

namespace Archipelago.Cached;

/// <summary>
/// Buckets that one blocker write carries: neighbours that are wholly valid, or a single one that is not and is written by
/// fragments of dirty sectors.
/// </summary>
internal readonly record struct DestageRun(int Bucket, int Count, bool Fragmented);

/// <summary>The runs of one pass and their outcomes. Reused.</summary>
internal sealed class PassRuns
{
    private readonly List<DestageRun> _runs = [];
    private readonly List<ValueTask<int>> _outcomes = [];

    internal int Count => _runs.Count;
    internal int Started => _outcomes.Count;

    internal DestageRun this[int index] => _runs[index];

    /// <summary>
    /// Cuts an object's dirty buckets into runs of at most <paramref name="longest"/>. Whole buckets are sent whole, also where
    /// only some of their sectors are dirty: the others are what the blocker has, and one write is cheaper than several.
    /// </summary>
    internal void Collect(Store store, CachedObject of, int longest)
    {
        int bucket = of.NextDirty(0);
        while (bucket >= 0)
        {
            int count = 0;
            while (count < longest && bucket + count < CachedObject.MaxBuckets && of.IsDirty(bucket + count) && IsWhole(store, of, bucket + count)) count++;
            if (count > 0) _runs.Add(new DestageRun(bucket, count, false));
            // Looking at it may show that its page is lost.
            else if (of.IsDirty(bucket)) _runs.Add(new DestageRun(bucket, 1, true));
            bucket += Math.Max(count, 1);
            if (bucket >= CachedObject.MaxBuckets) break;
            bucket = of.NextDirty(bucket);
        }
    }

    internal void Start(ValueTask<int> outcome) => _outcomes.Add(outcome);

    internal ValueTask<int> Outcome(int index) => _outcomes[index];

    internal void Clear()
    {
        _runs.Clear();
        _outcomes.Clear();
    }

    private static bool IsWhole(Store store, CachedObject of, int bucket)
    {
        store.Lookup(of, bucket, false, out var masks, out _);
        return masks.Valid == 0xFF;
    }
}
