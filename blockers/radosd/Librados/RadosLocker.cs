namespace Archipelago.Radosd.Librados;

/// <summary>Who holds an advisory lock on an object.</summary>
/// <param name="Client">The client's entity, <c>client.</c> and its instance id; what
/// <see cref="RadosPool.BreakLock"/> wants.</param>
/// <param name="Cookie">The holder's own name for this hold.</param>
/// <param name="Address">The client's address, <c>ip:port/nonce</c> perhaps after a <c>v1:</c>; what
/// <see cref="RadosCluster.Blocklist"/> wants.</param>
public readonly record struct RadosLocker(string Client, string Cookie, string Address);
