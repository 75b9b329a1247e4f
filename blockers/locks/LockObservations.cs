namespace Archipelago.Locks;

/// <summary>
/// Since when others' locks have shown no sign of life, by this host's own clock: whose lease has run out with the margin is gone. What was
/// seen is kept between attempts, so that attempts that do not wait come to an end too. One reactor.
/// </summary>
public sealed class LockObservations
{
    private const int Most = 4096;
    private readonly Dictionary<string, Seen> _seen = [];

    /// <summary>Locks watched.</summary>
    public int Count => _seen.Count;

    /// <summary>
    /// What is added to a lease: for clocks of two hosts that run at different speeds, and for a renewal that was under way when its lease ended.
    /// </summary>
    public static ulong Margin(ulong lease) => lease / 8 + 100_000_000;

    /// <summary>Looks at a lock that another holds; true once its holder has not renewed it for its whole lease and the margin.</summary>
    /// <param name="name">The lock.</param>
    /// <param name="found">What its record says.</param>
    /// <param name="before">Time before the record was read: so long at least it has not been renewed.</param>
    /// <param name="after">Time after it was read. However long that took: a renewal that is seen for the first time may be as young as this.</param>
    public bool IsExpired(byte[] name, LockRecord found, long before, long after)
    {
        if (found.Lease == 0) return false;
        string key = Convert.ToHexString(name);
        if (!_seen.TryGetValue(key, out var seen) || seen.Epoch != found.Epoch || seen.Renewals != found.Renewals)
        {
            // Whoever fills this with names only delays himself and others.
            if (_seen.Count >= Most) _seen.Clear();
            _seen[key] = new Seen(found.Epoch, found.Renewals, after);
            return false;
        }

        return (ulong)Math.Max(0, before - seen.Since) >= Math.Min(found.Lease, ulong.MaxValue / 4) + Margin(Math.Min(found.Lease, ulong.MaxValue / 4));
    }

    /// <summary>The lock is this host's, or free.</summary>
    public void Forget(byte[] name) => _seen.Remove(Convert.ToHexString(name));

    private readonly record struct Seen(ulong Epoch, ulong Renewals, long Since);
}
