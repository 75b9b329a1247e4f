using System.Numerics;
using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;

namespace Archipelago.Xseg.Ports;

/// <summary>The serving end: requests of other ports.</summary>
public sealed unsafe partial class Port
{
    private readonly RingConsumer?[] _requestLinks;
    private readonly RingProducer?[] _replyProducers;
    private readonly Queue<(uint Slot, uint Generation)> _replay = new();
    private ulong _inbound;
    private ulong _touchedClients;
    private ulong _acceptSequence;

    /// <summary>
    /// Accepts the next request from port <paramref name="client"/>. Damaged entries are counted and passed over; a request
    /// that makes no sense is answered EBADMSG at once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryAccept(int client, out Request request)
    {
        var link = _requestLinks[client];
        if (link != null)
        {
            while (link.TryPop(out uint slot, out uint generation))
                if (Accept(client, slot, generation, out request)) return true;
            // What was passed over must make room even if the batch has nothing to end.
            link.PublishHead();
        }

        request = default;
        return false;
    }

    /// <summary>Takes the next request that a dead predecessor had accepted, in the order in which it had.</summary>
    public bool TryReplay(out Request request)
    {
        while (_replay.TryDequeue(out var next))
        {
            var slot = Segment.SlotAt(next.Slot);
            if (new SlotWord(Volatile.Read(ref slot->Word)) != new SlotWord(SlotState.Running, Number, next.Generation)) continue;
            request = new Request(Segment, slot, next.Slot, next.Generation);
            // From here on its holder's death counts: a recoverer that dies before did the request no harm.
            Shared.Store(ref slot->Attempts, (byte)Math.Min(slot->Attempts + 1, byte.MaxValue));
            Shared.Count(ref _entry->Replayed);
            if (IsSane(request)) return true;
            Refuse(request);
        }

        request = default;
        return false;
    }

    /// <summary>Ports that have sent here, as a bit mask; re-reads what new clients have announced.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Clients()
    {
        ulong announced = Volatile.Read(ref _entry->Inbound);
        if (announced != _inbound) OpenLinks(announced);
        return _inbound;
    }

    /// <summary>Tells the client's producer how far its ring was read. Once per batch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void EndBatch(int client) => _requestLinks[client]!.PublishHead();

    /// <summary>
    /// Answers a request that this port accepted. Serviced and the data must be in place. The client is woken by
    /// <see cref="Kick"/>. A late reply (to a request that is not Running here any more) is ignored and counted.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Reply(in Request request, int status)
    {
        // Nobody but us moves it on from Running: if it has moved, the reply is late or the slot was damaged.
        if (Volatile.Read(ref request.Pointer->Word) != new SlotWord(SlotState.Running, Number, request.Generation).Value)
        {
            Shared.Count(ref _entry->StaleEntries);
            return;
        }

        Shared.Store(ref request.Pointer->Status, (uint)status);
        // The word is the commit: from here on the answer is the issuer's, whatever becomes of us and of the ring.
        Shared.Store(ref request.Pointer->Word, new SlotWord(SlotState.Replied, Number, request.Generation).Value);
        PushReply(request.Issuer, request.Slot, request.Generation);
    }

    private void PushReply(int client, uint slot, uint generation)
    {
        var ring = _replyProducers[client] ??= new RingProducer(Segment.RingAt(client, Number, 1), Segment.RingCapacity);
        // The ring has room for all slots and is read before they are used again: full means damaged.
        if (!ring.TryPush(slot, generation)) Shared.Count(ref _entry->StaleEntries);
        _touchedClients |= 1ul << client;
    }

    private bool Accept(int client, uint number, uint generation, out Request request)
    {
        var slot = Segment.SlotAt(number);
        if (slot == null || number >> Segment.SlotShift != (uint)client)
        {
            Shared.Count(ref _entry->CorruptEntries);
            request = default;
            return false;
        }

        var queued = new SlotWord(SlotState.Queued, Number, generation);
        request = new Request(Segment, slot, number, generation);
        if (!Shared.TrySwap(ref slot->Word, queued.Value, new SlotWord(SlotState.Running, Number, generation).Value))
        {
            Shared.Count(ref _entry->StaleEntries);
            return false;
        }

        Shared.Store(ref slot->AcceptSequence, ++_acceptSequence);
        Shared.Count(ref _entry->Accepted);
        if (IsSane(request)) return true;
        Refuse(request);
        return false;
    }

    private bool IsSane(in Request request)
    {
        var slot = request.Pointer;
        ulong offset = slot->Offset, length = slot->Length;
        return slot->Op <= (byte)XsegOp.Retire
            && slot->TargetLength <= RequestSlot.MaxTarget
            && slot->Flow < (uint)Segment.FlowCount
            && offset <= long.MaxValue && length <= long.MaxValue && offset + length <= long.MaxValue
            && ((XsegOp)slot->Op is not (XsegOp.Read or XsegOp.Write) || (length <= RequestSlot.MaxData && request.TryData(out _)));
    }

    private void Refuse(in Request request)
    {
        Shared.Count(ref _entry->BadRequests);
        Reply(request, XsegErrno.EBADMSG);
    }

    /// <summary>Counts a request that a handler found to lie; the handler answers it EBADMSG.</summary>
    public void CountBadRequest() => Shared.Count(ref _entry->BadRequests);

    private void OpenLinks(ulong announced)
    {
        // Bits beyond the table can only come from a faulty peer.
        announced &= Segment.PortCount == 64 ? ulong.MaxValue : (1ul << Segment.PortCount) - 1;
        for (ulong fresh = announced & ~_inbound; fresh != 0; fresh &= fresh - 1)
        {
            int client = BitOperations.TrailingZeroCount(fresh);
            _requestLinks[client] = new RingConsumer(Segment.RingAt(client, Number, 0), Segment.RingCapacity);
        }

        _inbound |= announced;
    }

    /// <summary>Replies whose word the predecessor had stored: those that are not in the ring are put there, and all clients are woken.</summary>
    private void Announce(List<(uint Slot, uint Generation)> replies)
    {
        foreach (var ofClient in replies.GroupBy(reply => (int)(reply.Slot >> Segment.SlotShift)))
        {
            var ring = _replyProducers[ofClient.Key] ??= new RingProducer(Segment.RingAt(ofClient.Key, Number, 1), Segment.RingCapacity);
            var announced = ring.Outstanding();
            foreach (var (slot, generation) in ofClient)
                if (!announced.Contains((slot, generation))) PushReply(ofClient.Key, slot, generation);
            _touchedClients |= 1ul << ofClient.Key;
        }
    }

    private void AdoptRecovered(RecoveryReport report)
    {
        foreach (var (slot, generation) in report.Replays)
        {
            _replay.Enqueue((slot, generation));
            // What we accept from here on comes after them, in the next life too.
            ulong order = Segment.SlotAt(slot)->AcceptSequence;
            if (order != ulong.MaxValue) _acceptSequence = Math.Max(_acceptSequence, order);
        }

        Announce(report.Unannounced);
        foreach (uint page in report.Limbo) Limbo.Add(page);
        Kick();
    }
}
