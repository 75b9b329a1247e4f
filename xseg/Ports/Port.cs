using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;

namespace Archipelago.Xseg.Ports;

/// <summary>What a peer asks for when it binds a port.</summary>
public sealed record PortOptions
{
    /// <summary>Identity: name of peer and shard, 1 to 64 bytes. A successor binds the same name.</summary>
    public required string Name { get; init; }
    /// <summary>Pages of the port's own share.</summary>
    public int Pages { get; init; }
    /// <summary>A client that comes and goes: its port may be reused once it is dead or gone.</summary>
    public bool Transient { get; init; }
    /// <summary>How long to wait for living peers to finish what a dead predecessor had asked of them.</summary>
    public TimeSpan FenceTimeout { get; init; } = TimeSpan.FromSeconds(30);
    /// <summary>
    /// A predecessor that died within this time of its bind died quickly: two in a row, of any peers, and no dead port is taken over any
    /// more. Zero: deaths are not counted.
    /// </summary>
    public TimeSpan QuickDeathWindow { get; init; }
    /// <summary>What to do with pages that a dead predecessor had cached: keep them (a cache) or free them.</summary>
    public bool KeepsCachePages { get; init; }
}

/// <summary>
/// A bound port: this process's end of it. Not thread-safe: everything but <see cref="Wake"/> belongs to one reactor thread.
/// </summary>
public sealed unsafe partial class Port : IDisposable
{
    private readonly PortEntry* _entry;
    private readonly SlotPool _slots;
    private readonly Waker _waker;

    private Port(Segment segment, int number, string name, RecoveryReport report)
    {
        Segment = segment;
        Number = number;
        Name = name;
        _entry = segment.PortAt(number);
        _slots = new SlotPool(segment, number);
        Pages = new PagePool(segment, number);
        Limbo = new Limbo(segment, Pages);
        Recovered = report;
        _waker = new Waker(segment);
        _requestLinks = new RingConsumer?[segment.PortCount];
        _replyProducers = new RingProducer?[segment.PortCount];
        _clientLinks = new ClientLink?[segment.PortCount];
    }

    /// <summary>The segment.</summary>
    public Segment Segment { get; }
    /// <summary>Number of the port, 0 to 63.</summary>
    public int Number { get; }
    /// <summary>Name of the port.</summary>
    public string Name { get; }
    /// <summary>The port's own pages.</summary>
    public PagePool Pages { get; }
    /// <summary>Pages of this port that requests may still name.</summary>
    public Limbo Limbo { get; }
    /// <summary>What a dead predecessor left, and what was done about it.</summary>
    public RecoveryReport Recovered { get; }
    /// <summary>Free request slots.</summary>
    public int FreeSlots => _slots.Count;
    /// <summary>Times that this port has been bound: 1 in its first life.</summary>
    public uint Life => _entry->Generation;

    /// <summary>
    /// Binds a port by name. If a process died with it, its requests are fenced first and what it had accepted is handed to
    /// this one (<see cref="TryAccept"/> gives it out first, in the old order).
    /// </summary>
    /// <exception cref="XsegException">EBUSY if the name is bound by a living process, or if a hung peer holds what must be
    /// fenced; EUCLEAN if the port table is damaged (nothing is changed); EAGAIN if two peers died quickly one after the other; ENOSPC if there is no free port; ENOMEM if the share cannot be had.</exception>
    public static Port Bind(Segment segment, PortOptions options)
    {
        Span<byte> name = stackalloc byte[PortEntry.MaxName];
        if (!System.Text.Encoding.UTF8.TryGetBytes(options.Name, name, out int length) || length == 0)
            throw new XsegException(XsegErrno.ENAMETOOLONG, $"port name '{options.Name}': expected 1 to {PortEntry.MaxName} bytes");
        name = name[..length];

        var report = new RecoveryReport();
        int number = -1;
        bool looked = false;
        ulong giveUp = Native.Libc.BootTime() + (ulong)options.FenceTimeout.TotalMilliseconds * 1_000_000;
        try
        {
            while (true)
            {
                string waitingFor = "";
                lock (segment.MaintenanceGate)
                {
                    using var maintenance = segment.Locks.Maintain();
                    if (segment.Header->State != (uint)SegmentState.Ready)
                        throw new XsegException(XsegErrno.ESTALE, $"{segment.DirectoryPath}: the segment was destroyed since it was joined; join again");
                    if (number < 0)
                    {
                        long[] dirty = PortFaults.DirtyByPort(segment);
                        PortFaults.Refuse(segment, dirty);
                        number = PortTable.FindOrTake(segment, name, options);
                        if (dirty[number] > 0 && !options.KeepsCachePages)
                            throw new XsegException(XsegErrno.EUCLEAN,
                                $"{segment.DirectoryPath}: port '{options.Name}' would get number {number}, which has {dirty[number]} dirty pages that it does not keep. Nothing was changed; see `archipelago segment fsck`");
                    }

                    bool sameName = segment.PortAt(number)->State != (uint)PortState.Free && PortTable.NameOf(segment, number).SequenceEqual(name);
                    // While a fence waits the predecessor stays the same.
                    if (!looked && sameName) QuickDeaths.Check(segment, number, options);
                    looked = true;
                    report = new RecoveryReport
                    {
                        HadPredecessor = segment.PortAt(number)->State == (uint)PortState.Bound,
                        Revoked = report.Revoked,
                        SlotsReset = report.SlotsReset,
                        AwaitedSlots = report.AwaitedSlots,
                    };
                    // In any case: a crash while a port changes its name, or leaves, may have left something under its number.
                    if (Fence.TryTakeOver(segment, number, sameName, options.KeepsCachePages, report, out waitingFor))
                        return Announce(segment, number, name, sameName, options, report);
                }

                if (Native.Libc.BootTime() > giveUp)
                    throw new XsegException(XsegErrno.EBUSY, $"port '{options.Name}' cannot be taken over: {waitingFor}; if that peer hangs, kill it first");
                Thread.Sleep(2);
            }
        }
        catch when (number >= 0)
        {
            segment.ReleasePortLock(number);
            throw;
        }
    }

    private static Port Announce(Segment segment, int number, ReadOnlySpan<byte> name, bool sameName, PortOptions options, RecoveryReport report)
    {
        var entry = segment.PortAt(number);
        uint before = sameName ? entry->PageShare : 0;
        if (!sameName)
        {
            // A name that is half one and half the other must not be found.
            Shared.Store(ref entry->State, (uint)PortState.Free);
            PortTable.SetName(segment, number, name);
        }

        Shared.Store(ref entry->Flags, options.Transient ? (uint)PortFlags.Transient : 0);
        Shared.Store(ref entry->PageShare, (uint)options.Pages);
        Shared.Store(ref entry->BoundAt, Native.Libc.BootTime());
        Shared.Store(ref entry->Heartbeat, Native.Libc.BootTime());
        Shared.Store(ref entry->Generation, entry->Generation + 1);
        Shared.Store(ref entry->Sleeping, 0u);
        Shared.Store(ref *(uint*)&entry->ProcessId, (uint)Environment.ProcessId);
        Shared.Store(ref entry->State, (uint)PortState.Bound);

        var port = new Port(segment, number, options.Name, report);
        try
        {
            port.Pages.Fill(options.Pages, report.PagesInUse);
        }
        catch (XsegException) when (options.Pages <= before && CountFree(segment, number) + report.PagesInUse >= options.Pages / 2)
        {
            // Damaged entries of the page table have cost it pages: it goes on with what there is.
            long left = CountFree(segment, number) + report.PagesInUse;
            port.Pages.Fill(left, report.PagesInUse);
            report.PagesMissing = (int)(options.Pages - left);
        }
        catch (XsegException) when (!sameName)
        {
            // It holds nothing: do not reserve the name.
            Shared.Store(ref entry->State, (uint)PortState.Free);
            throw;
        }

        port.AdoptRecovered(report);
        return port;
    }

    /// <summary>Pages that the port may have: its own free ones, and those in nobody's share.</summary>
    private static long CountFree(Segment segment, int number)
    {
        long free = 0;
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var word = new PageWord(Volatile.Read(ref segment.PageAt(page)->Word));
            if (word.State == PageState.Common || (word.State == PageState.Free && word.Owner == (uint)number)) free++;
        }

        return free;
    }

    /// <summary>Claims a request slot; false if all are in use.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryAllocate(out Request request) => _slots.TryTake(Number, out request);

    /// <summary>
    /// Frees a request that this port issued, with the pages that still belong to it; ends the loans made to it. A late release
    /// (of a request that was freed before) is ignored and counted.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(in Request request)
    {
        if (!_slots.IsTaken(request))
        {
            Shared.Count(ref _entry->StaleEntries);
            return;
        }

        var slot = request.Pointer;
        if (slot->ExtentCount != 0 || slot->Indirect[0] != 0) FreePages(request);
        _slots.Give(request);
    }

    /// <summary>A sign of life for <c>segment ports</c>; about once per 100 ms.</summary>
    public void Beat(ulong bootTime) => Volatile.Write(ref _entry->Heartbeat, bootTime);

    /// <summary>
    /// Leaves in order. The port must hold and wait for nothing. A transient port becomes free; any other stays reserved for
    /// its successor, with its cached pages.
    /// </summary>
    public void Dispose()
    {
        lock (Segment.MaintenanceGate)
        {
            using var maintenance = Segment.Locks.Maintain();
            Pages.Surrender(0);
            bool transient = (_entry->Flags & (uint)PortFlags.Transient) != 0;
            Shared.Store(ref _entry->State, (uint)(transient ? PortState.Free : PortState.Left));
            if (!transient) QuickDeaths.Forget(Segment);
            Segment.ReleasePortLock(Number);
        }

        _waker.Dispose();
    }

    /// <summary>
    /// Closes this end's file descriptors without a word to the segment, as the kernel does at kill -9. For simulations, which
    /// then dispose the <see cref="Segment"/>; the port must not be used any more.
    /// </summary>
    public void Abandon() => _waker.Dispose();
}
