using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// The cache peer: buckets of objects in RAM, between whoever sends object requests and a blocker. Hits are answered at once,
/// without copying; everything else goes through <see cref="ReadPath"/>, <see cref="WritePath"/>, <see cref="FlushPath"/>,
/// <see cref="CopyPath"/> or <see cref="ObjectOps"/>. All state that matters is in the segment: a killed cache comes back warm, with its dirty pages.
/// </summary>
public sealed partial class CachedPeer(CachedOptions options) : Peer
{
    private Store _store = null!;
    private Destager _destager = null!;
    private ReadPath _reads = null!;
    private WritePath _writes = null!;
    private FlushPath _flushes = null!;
    private ObjectOps _objects = null!;
    private CopyPath _copies = null!;
    private Invalidation _invalidation = null!;
    private Retirement _retirement = null!;

    /// <summary>Options that the peer was made with.</summary>
    public CachedOptions Options { get; } = options;

    /// <summary>For metrics. Thread-safe.</summary>
    public CacheFigures Figures => field ??= new CacheFigures(this);

    internal Store Store => _store;
    internal Destager Destager => _destager;
    internal FlushPath Flushes => _flushes;
    internal ObjectOps ObjectOps => _objects;
    internal Invalidation? Invalidation => _invalidation;

    /// <inheritdoc/>
    public override ValueTask StartAsync()
    {
        var blocks = Context.OpenRoute(Options.Blocks);
        _store = new Store(Context, Options);
        _destager = new Destager(Context, _store, blocks);
        var room = new Room(Context, _store, _destager);
        _flushes = new FlushPath(Context, _store, _destager, blocks);
        _objects = new ObjectOps(Context, _store, _destager, _flushes, room, blocks);
        var sharing = new Sharing(_store, _objects, _flushes);
        _copies = new CopyPath(Context, _store, _objects, sharing, _flushes, new PageCopies(Context, _store, _objects, room, blocks), blocks);
        _invalidation = new Invalidation(Context, _store, _objects);
        _retirement = new Retirement(Context, _store, _flushes);
        _reads = new ReadPath(Context, _store, _objects, sharing, new FillPath(Context, _store, room, blocks));
        _writes = new WritePath(Context, _store, _destager, room, _flushes, _objects);
        new Recovery(Context, _store).Run();
        _store.TrimShares();
        // What a predecessor kept that is not kept any more.
        if (_store.SharedFlow != Store.NoFlow && _objects.PolicyOf(_store.SharedFlow) == CachePolicy.Off) _objects.DropFlow(_store.FlowOf(_store.SharedFlow));
        _destager.Start();
        _flushes.Start();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override ValueTask<int> HandleAsync(Request request) => request.Flow < (uint)Context.Segment.FlowCount ? Handle(request) : new ValueTask<int>(Context.BadRequest());

    private ValueTask<int> Handle(in Request request) => request.Op switch
    {
        XsegOp.Read => _reads.Handle(request),
        XsegOp.Write => _writes.Handle(request),
        XsegOp.Ping => new ValueTask<int>(0),
        XsegOp.Flush => _flushes.HandleAsync(request),
        XsegOp.Info => _objects.InfoAsync(request),
        XsegOp.Discard or XsegOp.WriteZeroes or XsegOp.Truncate or XsegOp.Delete => _objects.ChangeAsync(request),
        XsegOp.Hash => _objects.HashAsync(request),
        XsegOp.Copy => _copies.HandleAsync(request),
        XsegOp.Invalidate => _invalidation.HandleAsync(request),
        XsegOp.Retire => _retirement.HandleAsync(request),
        XsegOp.Acquire => _objects.ForwardAsync(request, SlotUse.Wait),
        XsegOp.Release => _objects.ReleaseAsync(request),
        _ => new ValueTask<int>(XsegErrno.ENOTSUP),
    };

    /// <summary>
    /// Destages and flushes everything. Fails if the blocker does not take it: then the dirty pages stay in the segment, for
    /// the next start.
    /// </summary>
    public override async ValueTask StopAsync()
    {
        int status = await _flushes.FlushAllAsync();
        if (status != 0 || _store.DirtyPages > 0)
            throw new Runtime.ErrnoException(status == 0 ? XsegErrno.EBUSY : status,
                $"{_store.DirtyPages + _store.LostPages} dirty pages of 4 KiB cannot be brought to the blocker; they stay in the segment. Mend the blocker and stop again, or give them up by name (--discard-dirty)");
        _destager.Stop();
        _flushes.Stop();
        Context.Log.LogInformation("at rest: {Pages} pages cached, all stable", _store.Buckets.Count);
    }
}
