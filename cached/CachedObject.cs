using System.Numerics;
using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Cached;

/// <summary>
/// What the cache knows of one object beside its pages: which buckets are dirty, and who waits for what. All of it can be
/// rebuilt from the segment's tables. Reused. One reactor.
/// </summary>
internal sealed class CachedObject
{
    /// <summary>Buckets of an object of 4 MiB.</summary>
    internal const int MaxBuckets = 1024;

    [InlineArray(MaxBuckets / 64)]
    private struct BucketBits
    {
        private ulong _first;
    }

    private BucketBits _dirty;

    internal uint Entry;
    internal Hash128 Hash;
    internal FlowState Flow = null!;
    /// <summary>Buckets that have a page.</summary>
    internal int Pages;
    /// <summary>Buckets whose page is dirty.</summary>
    internal int DirtyPages;
    /// <summary>Buckets that were dirty and whose page is lost, see <see cref="Store.Lose"/>.</summary>
    internal int LostPages;
    /// <summary>Its entry in the object table was found damaged: nothing can be asked of the blocker until a request names it.</summary>
    internal bool NameLost;
    /// <summary>When the oldest dirty page became so, monotonic nanoseconds; valid while listed.</summary>
    internal long DirtySince;
    /// <summary>No destaging before this, after a failure.</summary>
    internal long RetryAt;
    internal int Failures;
    /// <summary>When what the pass carries, or the last one failed to bring down, became dirty: for people.</summary>
    internal long DirtyFrom;
    /// <summary>When the pass began; valid in a pass.</summary>
    internal long PassSince;
    /// <summary>A destage pass runs: at most one per object, hence at most one blocker write per bucket.</summary>
    internal bool InPass;
    internal bool Urgent;
    /// <summary>TRUNCATE, DELETE, … runs: no new writes, no new passes but its own.</summary>
    internal bool Exclusive;
    /// <summary>The one that has the object for itself is at the blocker: no pass may begin.</summary>
    internal bool Held;
    internal Existence Exists;
    internal Queue<Completion<bool>>? ExclusiveWaiters;
    internal CleanWait? Waits;
    internal Fill? Fills;
    internal int Users;
    internal CachedObject? Older;
    internal CachedObject? Newer;
    internal bool Listed;

    /// <summary>Nothing refers to it: its entry can be freed.</summary>
    internal bool IsIdle => Pages == 0 && LostPages == 0 && !IsBusy;

    /// <summary>Somebody is at it.</summary>
    internal bool IsBusy => InPass || Exclusive || Waits != null || Fills != null || Users != 0 || Urgent;

    internal bool IsDirty(int bucket) => (uint)bucket < MaxBuckets && (_dirty[bucket >> 6] >> (bucket & 63) & 1) != 0;

    /// <summary>Marks a bucket as dirty; false if it was.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool SetDirty(int bucket)
    {
        ref ulong word = ref _dirty[bucket >> 6];
        ulong bit = 1ul << (bucket & 63);
        if ((word & bit) != 0) return false;
        word |= bit;
        DirtyPages++;
        return true;
    }

    /// <summary>Marks a bucket as not dirty; false if it was not.</summary>
    internal bool ClearDirty(int bucket)
    {
        ref ulong word = ref _dirty[bucket >> 6];
        ulong bit = 1ul << (bucket & 63);
        if ((word & bit) == 0) return false;
        word &= ~bit;
        DirtyPages--;
        return true;
    }

    /// <summary>First dirty bucket from <paramref name="from"/> on, or −1.</summary>
    internal int NextDirty(int from)
    {
        for (int word = from >> 6; word < MaxBuckets / 64; word++)
        {
            ulong bits = _dirty[word];
            if (word == from >> 6) bits &= ulong.MaxValue << (from & 63);
            if (bits != 0) return (word << 6) + BitOperations.TrailingZeroCount(bits);
        }

        return -1;
    }

    /// <summary>Last dirty bucket, or −1.</summary>
    internal int LastDirty()
    {
        for (int word = (MaxBuckets / 64) - 1; word >= 0; word--)
            if (_dirty[word] != 0) return (word << 6) + 63 - BitOperations.LeadingZeroCount(_dirty[word]);
        return -1;
    }
}

/// <summary>What is known of whether an object exists, here or in the blocker.</summary>
internal enum Existence : byte
{
    Unknown,
    Missing,
    Yes,
}

/// <summary>Somebody who waits until what he wrote to an object is in the blocker. Reused.</summary>
internal sealed class CleanWait
{
    internal readonly Completion<int> Done = new();
    internal ulong Sequence;
    internal bool Stable;
    internal CleanWait? Next;
}

/// <summary>
/// A read of missing buckets from the blocker under way: the placeholder of design 6. It outlives the eviction of the
/// buckets; whoever changes one of them marks it, and then what was read is not kept.
/// </summary>
internal sealed class Fill
{
    [InlineArray(CachedObject.MaxBuckets / 64)]
    private struct BucketBits
    {
        private ulong _first;
    }

    private BucketBits _moved;

    internal int First;
    internal int Count;
    internal Fill? Next;
    internal readonly List<Completion<bool>> Waiters = [];

    internal void Reset(int first, int count)
    {
        (First, Count) = (first, count);
        _moved = default;
    }

    internal bool Covers(int bucket) => bucket >= First && bucket < First + Count;

    internal bool IsMoved(int bucket) => (_moved[(bucket - First) >> 6] >> ((bucket - First) & 63) & 1) != 0;

    internal void Move(int bucket)
    {
        if (Covers(bucket)) _moved[(bucket - First) >> 6] |= 1ul << ((bucket - First) & 63);
    }
}
