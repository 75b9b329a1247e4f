namespace Archipelago.Nbd.Core;

/// <summary>
/// Changes of an export whose clients were told that their deadline has passed, and whose outcome is not known: each may take effect at any
/// time, and must not do so over something newer. Who comes later and overlaps one waits for its outcome, a FLUSH for all; without a slot,
/// and not longer than its own deadline. In order of their deadlines. One reactor.
/// </summary>
internal sealed class OverdueChanges
{
    private GatewayRequest? _first, _last;

    internal void Add(GatewayRequest change)
    {
        (change.PreviousOverdue, change.NextOverdue) = (_last, null);
        if (_last == null) _first = change;
        else _last.NextOverdue = change;
        _last = change;
    }

    /// <summary>The outcome is known: those that waited for it look again.</summary>
    internal void Remove(GatewayRequest change)
    {
        if (change.PreviousOverdue == null) _first = change.NextOverdue;
        else change.PreviousOverdue.NextOverdue = change.NextOverdue;
        if (change.NextOverdue == null) _last = change.PreviousOverdue;
        else change.NextOverdue.PreviousOverdue = change.PreviousOverdue;
        (change.PreviousOverdue, change.NextOverdue) = (null, null);
        // One that goes on may end others of them, or be the end of its client: always the first that is left.
        while (change.FirstHeld is { } held)
        {
            Release(held);
            held.GoOn();
        }
    }

    /// <summary>Has <paramref name="request"/> wait for the first change that it must not pass, if there is one.</summary>
    internal bool TryHold(GatewayRequest request)
    {
        for (var change = _first; change != null; change = change.NextOverdue)
        {
            if (!change.HoldsUp(request)) continue;
            request.HeldBy = change;
            (request.PreviousHeld, request.NextHeld) = (change.LastHeld, null);
            if (change.LastHeld == null) change.FirstHeld = request;
            else change.LastHeld.NextHeld = request;
            change.LastHeld = request;
            return true;
        }

        return false;
    }

    /// <summary>It waits no longer.</summary>
    internal static void Release(GatewayRequest request)
    {
        if (request.HeldBy is not { } change) return;
        if (request.PreviousHeld == null) change.FirstHeld = request.NextHeld;
        else request.PreviousHeld.NextHeld = request.NextHeld;
        if (request.NextHeld == null) change.LastHeld = request.PreviousHeld;
        else request.NextHeld.PreviousHeld = request.PreviousHeld;
        (request.HeldBy, request.PreviousHeld, request.NextHeld) = (null, null, null);
    }

    /// <summary>A client is lost: what of it waits here, and was never sent, has its outcome.</summary>
    internal void Abandon(GatewayClient client)
    {
        // Each one may be the end of others: from the start again.
        while (Find(client) is { } held) held.Abandon(null);
    }

    private GatewayRequest? Find(GatewayClient client)
    {
        for (var change = _first; change != null; change = change.NextOverdue)
            for (var held = change.FirstHeld; held != null; held = held.NextHeld)
                if (held.Client == client) return held;
        return null;
    }
}
