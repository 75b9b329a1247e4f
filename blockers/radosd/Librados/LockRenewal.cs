namespace Archipelago.Radosd.Librados;

/// <summary>What taking a lock does if this client holds it already.</summary>
public enum LockRenewal
{
    /// <summary>Fail with EEXIST.</summary>
    Never,

    /// <summary>Begin a new lease; take the lock if it is free.</summary>
    May,

    /// <summary>Begin a new lease; ENOENT if this client does not hold the lock (any more).</summary>
    Must,
}
