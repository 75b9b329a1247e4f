using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Recovery;

/// <summary>
/// Taking over from a dead peer (design 4): first every request that it had issued is revoked or waited for; only then what it
/// had accepted goes to its successor. Each pass runs under the maintenance lock, so that who is dead stays dead during it; the
/// lock is given up between passes, so that others on whom we wait can be taken over too. A recoverer that dies itself leaves
/// a state from which the next one starts again: every step is one compare-and-swap or may be repeated.
/// </summary>
internal static unsafe class Fence
{
    /// <summary>
    /// One pass for the dead <paramref name="port"/>, whose kernel lock the caller holds. False if a living peer still runs a
    /// request of it, named in <paramref name="waitingFor"/>.
    /// </summary>
    internal static bool TryTakeOver(Segment segment, int port, bool keepsCachePages, RecoveryReport report, out string waitingFor)
    {
        report.HadPredecessor = true;
        var visited = new HashSet<int>();
        if (!TryFenceIssued(segment, port, report, visited, out waitingFor)) return false;
        CollectAccepted(segment, port, report);
        SortPages(segment, port, keepsCachePages, report);
        return true;
    }

    /// <summary>Frees every slot of a dead port; false if a living holder runs one.</summary>
    private static bool TryFenceIssued(Segment segment, int port, RecoveryReport report, HashSet<int> visited, out string waitingFor)
    {
        waitingFor = "";
        if (!visited.Add(port)) return true;
        uint first = (uint)port << segment.SlotShift;
        for (uint number = first; number < first + Used(segment, port); number++)
        {
            var slot = segment.SlotAt(number);
            while (true)
            {
                var word = new SlotWord(Volatile.Read(ref slot->Word));
                if (word.State == SlotState.Free) break;
                if (word.State == SlotState.Running && word.Holder != port && word.Holder < segment.PortCount)
                {
                    if (IsServed(segment, port, word.Holder))
                    {
                        waitingFor = $"port {word.Holder} ({System.Text.Encoding.UTF8.GetString(PortTable.NameOf(segment, word.Holder))}, process {segment.PortAt(word.Holder)->ProcessId}) still runs request {number}";
                        report.Awaited++;
                        return false;
                    }

                    // Its holder is dead too; but what that one had asked of others may still take effect.
                    if (!TryFenceIssued(segment, word.Holder, report, visited, out waitingFor)) return false;
                }

                if (!Shared.TrySwap(ref slot->Word, word.Value, new SlotWord(SlotState.Free, 0, word.Generation + 1).Value)) continue;
                if (word.State == SlotState.Queued) report.Revoked++;
                break;
            }
        }

        return true;
    }

    private static void CollectAccepted(Segment segment, int port, RecoveryReport report)
    {
        var replays = new List<(ulong Order, uint Slot, uint Generation)>();
        for (int issuer = 0; issuer < segment.PortCount; issuer++)
        {
            if (issuer == port) continue;
            uint first = (uint)issuer << segment.SlotShift;
            for (uint number = first; number < first + Used(segment, issuer); number++)
            {
                var slot = segment.SlotAt(number);
                var word = new SlotWord(Volatile.Read(ref slot->Word));
                if (word.Holder != port) continue;
                if (word.State == SlotState.Replied) report.Unannounced.Add((number, word.Generation));
                if (word.State != SlotState.Running) continue;
                if (!IsServed(segment, port, issuer))
                {
                    // Nobody waits for it, nobody runs it, and its children are fenced.
                    if (Shared.TrySwap(ref slot->Word, word.Value, new SlotWord(SlotState.Free, 0, word.Generation + 1).Value)) report.Orphans++;
                    continue;
                }

                byte attempts = (byte)Math.Min(slot->Attempts + 1, byte.MaxValue);
                Shared.Store(ref slot->Attempts, attempts);
                if (attempts >= 3) Keep(segment, port, number, word, report);
                else replays.Add((slot->AcceptSequence, number, word.Generation));
            }
        }

        replays.Sort((a, b) => a.Order.CompareTo(b.Order));
        foreach (var (_, number, generation) in replays) report.ReplayList.Add((number, generation));
    }

    private static void Keep(Segment segment, int port, uint number, SlotWord word, RecoveryReport report)
    {
        var slot = segment.SlotAt(number);
        report.KeptList.Add(new Request(segment, slot, number, word.Generation).ToString());
        Shared.Count(ref segment.PortAt(port)->Kept);
        Shared.Store(ref slot->Status, (uint)XsegErrno.EIO);
        Shared.Store(ref slot->Word, new SlotWord(SlotState.Replied, port, word.Generation).Value);
        report.Unannounced.Add((number, word.Generation));
    }

    private static void SortPages(Segment segment, int port, bool keepsCachePages, RecoveryReport report)
    {
        var named = NamedByReplays(segment, report);
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            switch (word.State)
            {
                // An exchange page that had reached the slot but not its list when its giver died.
                case PageState.Slot when named.TryGetValue(word.Owner, out var pages) && !pages.Contains(page)
                    && TryFinishExchange(segment, port, word.Owner, new Extent(page, word.Generation)):
                    break;
                case PageState.Slot when (int)(word.Owner >> segment.SlotShift) == port:
                case PageState.Slot when named.TryGetValue(word.Owner, out var pages) && !pages.Contains(page):
                    Shared.Store(ref entry->Word, new PageWord(PageState.Free, (uint)port, word.Generation).Value);
                    report.PagesFreed++;
                    break;
                case PageState.Cache when word.Owner == (uint)port && keepsCachePages:
                    report.PagesCached++;
                    if ((entry->Masks & 0x00FF_FF00) != 0) report.PagesDirty++;
                    break;
                case PageState.Cache when word.Owner == (uint)port:
                    Shared.Store(ref entry->Word, new PageWord(PageState.Limbo, (uint)port, word.Generation).Value);
                    report.Limbo.Add(page);
                    break;
                case PageState.Limbo or PageState.Lent when word.Owner == (uint)port:
                    report.Limbo.Add(page);
                    break;
            }
        }
    }

    /// <summary>
    /// If the adoption that the page was to pay for had been committed, its last store is made now: else the issuer's share would
    /// shrink by a page, and the adopter's grow. False if it had not: the page goes back.
    /// </summary>
    private static bool TryFinishExchange(Segment segment, int port, uint root, Extent exchange)
    {
        var slot = segment.SlotAt(root);
        for (int i = 0; i < Math.Min((int)slot->ExtentCount, RequestSlot.MaxExtents); i++)
        {
            ulong* at = i < RequestSlot.InlineExtents ? &slot->Extents[i] : RequestData.LocateIndirect(segment, slot, root, i);
            if (at == null || new Extent(*at).IsSpent) continue;
            var adopted = segment.PageAt(new Extent(*at).Page);
            if (adopted == null || adopted->Word != new PageWord(PageState.Cache, (uint)port, new Extent(*at).Generation).Value) continue;
            Shared.Store(ref *at, exchange.AsSpent().Value);
            return true;
        }

        return false;
    }

    private static Dictionary<uint, HashSet<uint>> NamedByReplays(Segment segment, RecoveryReport report)
    {
        var named = new Dictionary<uint, HashSet<uint>>();
        foreach (var (number, _) in report.ReplayList)
        {
            uint root = segment.SlotAt(number)->RootSlot;
            var slot = segment.SlotAt(root);
            if (slot == null || named.ContainsKey(root)) continue;
            var pages = new HashSet<uint>();
            for (int i = 0; i < Math.Min((int)slot->ExtentCount, RequestSlot.MaxExtents); i++)
            {
                ulong* at = i < RequestSlot.InlineExtents ? &slot->Extents[i] : RequestData.LocateIndirect(segment, slot, root, i);
                if (at != null) pages.Add(new Extent(*at).Page);
            }

            for (int i = 0; i < RequestSlot.MaxIndirect; i++) pages.Add(new Extent(slot->Indirect[i]).Page);
            named.Add(root, pages);
        }

        return named;
    }

    /// <summary>Served by a process other than the dead one, whose lock the recoverer holds now.</summary>
    private static bool IsServed(Segment segment, int dead, int port) => port != dead && PortTable.IsAlive(segment, port);

    private static uint Used(Segment segment, int port) => Math.Min(Volatile.Read(ref segment.PortAt(port)->SlotHighWater), (uint)segment.SlotsPerPort);
}
