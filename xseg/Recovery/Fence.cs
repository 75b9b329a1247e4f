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
    /// <summary>So many holders die with a request before it fails with EIO.</summary>
    internal const int MaxDeaths = 3;

    /// <summary>
    /// One pass for the dead <paramref name="port"/>, whose kernel lock the caller holds. False if a living peer still runs a
    /// request of it, named in <paramref name="waitingFor"/>. Also right for a port that nobody died with: then there is
    /// nothing to find. With another name than the dead one's nothing is replayed, but failed. Without <paramref name="keepsCachePages"/> what is cached is
    /// given up, but not what is dirty: who asks for that has seen that there is none.
    /// </summary>
    internal static bool TryTakeOver(Segment segment, int port, bool sameName, bool keepsCachePages, RecoveryReport report, out string waitingFor)
    {
        var visited = new HashSet<int>();
        if (!TryFenceIssued(segment, port, report, visited, out waitingFor)) return false;
        SortPages(segment, port, keepsCachePages, report);
        CollectAccepted(segment, port, sameName, report);
        return true;
    }

    /// <summary>Frees every slot of a dead port; false if a living holder runs one.</summary>
    private static bool TryFenceIssued(Segment segment, int port, RecoveryReport report, HashSet<int> visited, out string waitingFor)
    {
        waitingFor = "";
        if (!visited.Add(port)) return true;
        uint first = (uint)port << segment.SlotShift;
        uint used = first + Used(segment, port);
        // All of them: what is in use above the mark is damage, of the slot or of the mark, and would never be free again.
        for (uint number = first; number < first + (uint)segment.SlotsPerPort; number++)
        {
            var slot = segment.SlotAt(number);
            while (true)
            {
                var word = new SlotWord(Volatile.Read(ref slot->Word));
                if (word.State == SlotState.Free) break;
                bool senseless = number >= used || word.State > SlotState.Replied || (word.State != SlotState.Owned && word.Holder >= segment.PortCount);
                if (word.State == SlotState.Running && word.Holder != port && word.Holder < segment.PortCount)
                {
                    if (IsServed(segment, port, word.Holder))
                    {
                        waitingFor = $"port {word.Holder} ({System.Text.Encoding.UTF8.GetString(PortTable.NameOf(segment, word.Holder))}, process {segment.PortAt(word.Holder)->ProcessId}) still runs request {number}";
                        report.AwaitedSlots.Add((number, word.Generation));
                        return false;
                    }

                    // Its holder is dead too; but what that one had asked of others may still take effect.
                    if (!TryFenceIssued(segment, word.Holder, report, visited, out waitingFor)) return false;
                }

                if (!Shared.TrySwap(ref slot->Word, word.Value, new SlotWord(SlotState.Free, 0, word.Generation + 1).Value)) continue;
                if (senseless) report.SlotsReset++;
                else if (word.State == SlotState.Queued) report.Revoked++;
                break;
            }
        }

        return true;
    }

    private static void CollectAccepted(Segment segment, int port, bool sameName, RecoveryReport report)
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
                }
                else if (!sameName)
                {
                    // Meant for a peer that nobody will succeed under this number.
                    Fail(segment, port, number, word, XsegErrno.ESHUTDOWN, report);
                }
                else if (slot->Attempts + 1 >= MaxDeaths)
                {
                    report.KeptList.Add(new Request(segment, slot, number, word.Generation).ToString());
                    Shared.Count(ref segment.PortAt(port)->Kept);
                    Fail(segment, port, number, word, XsegErrno.EIO, report);
                }
                else
                {
                    replays.Add((slot->AcceptSequence, number, word.Generation));
                }
            }
        }

        replays.Sort((a, b) => a.Order.CompareTo(b.Order));
        foreach (var (_, number, generation) in replays) report.ReplayList.Add((number, generation));
    }

    private static void Fail(Segment segment, int port, uint number, SlotWord word, int status, RecoveryReport report)
    {
        var slot = segment.SlotAt(number);
        Shared.Store(ref slot->Status, (uint)status);
        Shared.Store(ref slot->Word, new SlotWord(SlotState.Replied, port, word.Generation).Value);
        report.Unannounced.Add((number, word.Generation));
    }

    private static void SortPages(Segment segment, int port, bool keepsCachePages, RecoveryReport report)
    {
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            switch (word.State)
            {
                case PageState.Slot when (int)(word.Owner >> segment.SlotShift) == port:
                    if (Shared.TrySwap(ref entry->Word, word.Value, new PageWord(PageState.Free, (uint)port, word.Generation).Value)) report.PagesFreed++;
                    break;
                // A page of ours that had reached a slot in exchange, but not its list, when we died.
                case PageState.Slot when PagePool.IsExchangeOf(port, entry->Sequence, word) && !IsNamed(segment, word.Owner, page):
                    if (keepsCachePages && TryFinishExchange(segment, port, page, word)) break;
                    if (Shared.TrySwap(ref entry->Word, word.Value, new PageWord(PageState.Free, (uint)port, word.Generation).Value)) report.PagesFreed++;
                    break;
                case PageState.Cache when word.Owner == (uint)port && keepsCachePages:
                    report.PagesCached++;
                    if (entry->IsUnstable) report.PagesDirty++;
                    break;
                case PageState.Cache when word.Owner == (uint)port && !entry->IsUnstable:
                    Shared.Store(ref entry->Word, new PageWord(PageState.Limbo, (uint)port, word.Generation).Value);
                    report.Limbo.Add(page);
                    break;
                case PageState.Limbo or PageState.Lent when word.Owner == (uint)port:
                    report.Limbo.Add(page);
                    break;
            }
        }
    }

    /// <summary>The last store of an adoption, if its commit was done: the extent that the page is for becomes it, spent.</summary>
    private static bool TryFinishExchange(Segment segment, int port, uint page, PageWord word)
    {
        var entry = segment.PageAt(page);
        var root = segment.SlotAt(word.Owner);
        if (root == null || entry->Object >= RequestSlot.MaxExtents) return false;
        var rootWord = new SlotWord(Volatile.Read(ref root->Word));
        if (rootWord.State == SlotState.Free || rootWord.Generation != entry->Checksum) return false;
        ulong* at = entry->Object < RequestSlot.InlineExtents ? &root->Extents[entry->Object] : RequestData.LocateIndirect(segment, root, word.Owner, (int)entry->Object);
        if (at == null) return false;
        var extent = new Extent(Volatile.Read(ref *at));
        var adopted = segment.PageAt((uint)extent.Value);
        return adopted != null && adopted->Word == new PageWord(PageState.Cache, (uint)port, extent.Generation).Value
            && Shared.TrySwap(ref *at, extent.Value, new Extent(page, word.Generation).AsSpent().Value);
    }

    /// <summary>True if the list of extents of a slot has the page. The slot's issuer may be alive; the page cannot leave the slot unseen.</summary>
    private static bool IsNamed(Segment segment, uint number, uint page)
    {
        var slot = segment.SlotAt(number);
        if (slot == null) return false;
        for (int i = 0; i < Math.Min((int)slot->ExtentCount, RequestSlot.MaxExtents); i++)
        {
            ulong* at = i < RequestSlot.InlineExtents ? &slot->Extents[i] : RequestData.LocateIndirect(segment, slot, number, i);
            if (at != null && new Extent(Volatile.Read(ref *at)).Page == page) return true;
        }

        return false;
    }

    /// <summary>Served by a process other than the dead one, whose lock the recoverer holds now.</summary>
    private static bool IsServed(Segment segment, int dead, int port) => port != dead && PortTable.IsAlive(segment, port);

    private static uint Used(Segment segment, int port) => Math.Min(Volatile.Read(ref segment.PortAt(port)->SlotHighWater), (uint)segment.SlotsPerPort);
}
