using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cached;

/// <summary>
/// FLUSH: everything of the flow that was answered before is brought to the blocker and made stable there. Also the slow
/// background flush that turns written pages into stable ones, which alone may be evicted. One reactor.
/// </summary>
internal sealed class FlushPath
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(250);

    private readonly PeerContext _context;
    private readonly Store _store;
    private readonly Destager _destager;
    private readonly Route _blocks;
    private readonly Action<object?> _onTick;
    private readonly HashSet<uint> _background = [];
    private long _nextIdleFlush;
    private bool _stopped;

    internal FlushPath(PeerContext context, Store store, Destager destager, Route blocks)
    {
        (_context, _store, _destager, _blocks) = (context, store, destager, blocks);
        _onTick = static state => ((FlushPath)state!).OnTick();
        destager.Squeezed += FlushInBackground;
    }

    internal long Flushes { get; private set; }

    internal void Start() => _onTick(this);

    internal void Stop() => _stopped = true;

    internal ValueTask<int> HandleAsync(Request request)
    {
        uint flow = request.Flow;
        Flushes++;
        if (flow == 0) return FlushAllAsync();
        if ((request.Flags & RequestFlags.Housekeeping) != 0) return FlushAsync(_store.FlowOf(flow));
        NoteUserFlush(flow);
        return FlushForUserAsync(_store.FlowOf(flow), request.Attempts > 0);
    }

    /// <summary>Also tells, once, what earlier FLUSHes of ours have lost. Users' FLUSHes that run beside each other all hear of it, and replays of one.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FlushForUserAsync(FlowState flow, bool isReplay)
    {
        if (Owed(flow) == FlowEntry.OwedTold && !isReplay) SetOwed(flow, 0);
        long losses = flow.LossesTold;
        int status = await FlushAsync(flow);
        bool owed = Owed(flow) != 0 || flow.Losses != losses;
        flow.LossesTold = flow.Losses;
        if (owed) SetOwed(flow, FlowEntry.OwedTold);
        // What was dropped with the volume is no less lost for having been dropped before, or while, this waited.
        if (FlowTable.IsLost(_context.Segment, flow.Index)) return XsegErrno.ESTALE;
        return status == 0 && owed ? XsegErrno.EIO : status;
    }

    private unsafe byte Owed(FlowState flow)
    {
        var entry = _context.Segment.FlowAt(flow.Index);
        return entry == null ? (byte)0 : entry->FlushOwed;
    }

    private unsafe void SetOwed(FlowState flow, byte owed)
    {
        var entry = _context.Segment.FlowAt(flow.Index);
        if (entry != null) Shared.Store(ref entry->FlushOwed, owed);
    }

    /// <summary>Everything of every flow, also of those that only the blocker knows of.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> FlushAllAsync()
    {
        int status = 0;
        _store.FlowOf(0).Unstable = true;
        for (int i = 0; i < _store.Flows.Count; i++)
        {
            int next = await FlushAsync(_store.Flows[i]);
            if (status == 0) status = next;
        }

        return status;
    }

    /// <summary>Destages what of the flow is dirty now, then makes it stable.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> FlushAsync(FlowState flow)
    {
        while (true)
        {
            long failures = flow.FlushFailures, mended = flow.Mended;
            int status = await DestageAsync(flow);
            if (status == 0) status = await StabilizeAsync(flow);
            // Another's FLUSH failed meanwhile: what was brought down may be lost by it, and is dirty again.
            if (status != 0) return status;
            if (failures == flow.FlushFailures && mended == flow.Mended) return flow.LostPages == 0 ? 0 : XsegErrno.EIO;
        }
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> DestageAsync(FlowState flow)
    {
        int status = 0;
        if (flow.Oldest == null && _destager.Passing.Count == 0) return 0;
        // All at once: the destager keeps to its depth.
        var passes = new List<ValueTask<int>>();
        for (var dirty = flow.Oldest; dirty != null;)
        {
            var next = dirty.Newer;
            passes.Add(_destager.CleanAsync(dirty, false, pump: false));
            dirty = next;
        }

        foreach (var passing in _destager.Passing.Where(passing => passing.Flow == flow).ToArray()) passes.Add(_destager.CleanAsync(passing, false, pump: false));
        _destager.Pump();
        foreach (var pass in passes)
        {
            int next = await pass;
            if (status == 0) status = next;
        }

        return status;
    }

    /// <summary>Makes stable what of the flow the blocker has. A blocker that knows no FLUSH is stable always.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> StabilizeAsync(FlowState flow)
    {
        if (!flow.Unstable) return 0;
        long mark = flow.Noted, around = flow.Around;
        long target = flow.WrittenTaken + flow.Written.Count;
        var child = await _context.AllocateAsync();
        _context.Port.Prepare(child, XsegOp.Flush, flow.Index, default, default, 0, 0);
        int status = await _blocks.SubmitAsync(child);
        _context.Free(child);
        if (status == XsegErrno.ENOTSUP) status = 0;
        _store.Flushed(flow, target, status == 0);
        _store.SettleAround(flow, around, status == 0);
        if (status == 0 && flow.Noted == mark) flow.Unstable = false;
        return status;
    }

    private unsafe void NoteUserFlush(uint flow)
    {
        var entry = _context.Segment.FlowAt(flow);
        // The guest flushes, so it can live with write-back from here on.
        if (entry != null && entry->HasFlushed == 0) Shared.Store(ref entry->HasFlushed, (byte)1);
    }

    private void OnTick()
    {
        if (_stopped) return;
        bool idle = _context.Reactor.Now >= _nextIdleFlush;
        if (idle) _nextIdleFlush = _context.Reactor.Now + _store.Options.DirtyAge.Ticks * 100;
        if (_store.WrittenPages > 0 && (idle || _store.WrittenPages > _store.Options.Pages / 8)) FlushInBackground();
        _context.Reactor.Schedule(_context.Reactor.Now + Tick.Ticks * 100, _onTick, this);
    }

    private void FlushInBackground()
    {
        // By index: a flush may end at once, and whoever waited for it may bring in a new flow.
        for (int i = 0; i < _store.Flows.Count; i++)
        {
            var flow = _store.Flows[i];
            if (flow.Written.Count > 0 && _background.Add(flow.Index)) Detached.Run(BackgroundAsync(flow));
        }
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> BackgroundAsync(FlowState flow)
    {
        int status = await StabilizeAsync(flow);
        _background.Remove(flow.Index);
        return status;
    }
}
