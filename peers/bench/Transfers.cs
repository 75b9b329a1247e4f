using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Bench;

/// <summary>
/// Makes requests and takes their answers: what does not depend on how they travel. One thread; allocates nothing once it is made,
/// but for the messages about what is wrong.
/// </summary>
internal sealed unsafe class Transfers : IDisposable
{
    private const int MaxMessages = 10;
    private const int MaxErrno = 256;

    private readonly BenchOptions _options;
    private readonly Port _port;
    private readonly Targets _targets;
    private readonly BlockSource _source;
    private readonly BenchRun _run;
    private readonly long[] _started;
    private readonly BlockOp[] _ops;
    private readonly int _slotMask;
    private readonly byte* _copies;
    private readonly bool _touches;

    internal Transfers(BenchOptions options, Port port, Targets targets, BenchRun run)
    {
        (_options, _port, _targets, _run) = (options, port, targets, run);
        _source = new BlockSource(options, Math.Max(targets.Blocks, 1));
        _slotMask = port.Segment.SlotsPerPort - 1;
        _started = new long[_slotMask + 1];
        _ops = new BlockOp[_slotMask + 1];
        _touches = options.CopyOut || options.Verify != BenchVerify.None;
        nuint bytes = (nuint)options.BlockSize * (nuint)options.Depth;
        _copies = (byte*)NativeMemory.AlignedAlloc(bytes, 4096);
        NativeMemory.Fill(_copies, bytes, 0xA5);
    }

    /// <summary>Answers with an error, by errno.</summary>
    internal long[] Errors { get; } = new long[MaxErrno];
    /// <summary>Blocks with wrong content.</summary>
    internal long Mismatches { get; private set; }
    /// <summary>Times that a request waited because the port's pages were used up.</summary>
    internal long PageStalls { get; private set; }
    /// <summary>The first faults, for a person.</summary>
    internal List<string> Messages { get; } = [];
    internal long ReadRequests { get; private set; }
    internal long WriteRequests { get; private set; }

    /// <summary>Pages that the bench's port needs for its requests.</summary>
    internal static int PagesNeeded(BenchOptions options)
    {
        int pages = Request.PagesFor(512, (ulong)options.BlockSize);
        int lists = Math.Max(0, pages - RequestSlot.InlineExtents + RequestSlot.ExtentsPerIndirect - 1) / RequestSlot.ExtentsPerIndirect;
        return options.Op == BenchOp.Ping ? 0 : (options.Depth + 1) * (lists + (options.Writes ? pages : 0));
    }

    /// <summary>Prepares the next request; false if there is none to be had now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryPrepare(out Request request)
    {
        if (!_port.TryAllocate(out request)) return false;
        if (_options.Op == BenchOp.Ping)
            _port.Prepare(request, XsegOp.Ping, _targets.Flow, _targets.Name(0), _targets.Hash(0), 0, 0);
        else if (!TryPrepareTransfer(request)) return Give(request);
        _started[(int)request.Slot & _slotMask] = _run.Issue();
        return true;
    }

    /// <summary>Takes an answer and frees the request.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Complete(in Request request, int status)
    {
        int slot = (int)request.Slot & _slotMask;
        if (status != 0) Fail(request, status);
        else if (_options.Op != BenchOp.Ping)
        {
            ref var op = ref _ops[slot];
            if (!op.IsWrite && _touches) Touch(request, op, slot);
        }

        _run.Complete(_started[slot]);
        if (_options.Op != BenchOp.Ping)
        {
            if (_ops[slot].IsWrite) WriteRequests++;
            else ReadRequests++;
            _source.Finish(_ops[slot]);
        }

        _port.Free(request);
    }

    public void Dispose() => NativeMemory.AlignedFree(_copies);

    private bool TryPrepareTransfer(in Request request)
    {
        if (!_source.TryNext(out var op)) return false;
        long target = _targets.BlocksPerTarget == _targets.Blocks ? 0 : op.Block / _targets.BlocksPerTarget;
        long offset = (op.Block - (target * _targets.BlocksPerTarget)) * _options.BlockSize;
        _port.Prepare(
            request, op.IsWrite ? XsegOp.Write : XsegOp.Read, _targets.Flow, _targets.Name(target), _targets.Hash(target),
            (ulong)offset, (ulong)_options.BlockSize);
        if (!_port.TryAttachPages(request, op.IsWrite))
        {
            PageStalls++;
            _source.PutBack(op);
            return false;
        }

        if (op.IsWrite && _options.Verify != BenchVerify.None) Fill(request, target, offset, op.Generation);
        _ops[(int)request.Slot & _slotMask] = op;
        return true;
    }

    private void Fill(in Request request, long target, long offset, uint generation)
    {
        request.TryData(out var data);
        int at = (int)(offset & 4095), left = _options.BlockSize;
        for (int i = 0; i < data.Count; i++, at = 0)
        {
            int bytes = Math.Min(left, 4096 - at);
            byte* page = data.Readable(i);
            Content.Fill(page + at, bytes, (ulong)_options.Seed, target, offset / Content.SectorBytes, generation, _options.Verify == BenchVerify.Full);
            (offset, left) = (offset + bytes, left - bytes);
        }
    }

    private void Touch(in Request request, in BlockOp op, int slot)
    {
        long target = op.Block / _targets.BlocksPerTarget;
        long offset = (op.Block % _targets.BlocksPerTarget) * _options.BlockSize;
        byte* copy = _copies + ((nuint)(slot % _options.Depth) * (nuint)_options.BlockSize);
        if (!request.TryData(out var data))
        {
            Fail(request, XsegErrno.EBADMSG);
            return;
        }

        int at = (int)(offset & 4095), left = _options.BlockSize;
        byte* next = data.Readable(0);
        for (int i = 0; i < data.Count; at = 0)
        {
            byte* page = next;
            if (page == null)
            {
                Fail(request, XsegErrno.EBADMSG);
                return;
            }

            // Pages that were written together lie together: one copy, which the processor's own prefetching keeps up with.
            int pages = 1;
            while (++i < data.Count && (next = data.Readable(i)) == page + (pages << 12)) pages++;
            if (i < data.Count) Prefetch(next);
            int bytes = Math.Min(left, (pages << 12) - at);
            if (_options.CopyOut) Buffer.MemoryCopy(page + at, copy, bytes, bytes);
            byte* content = _options.CopyOut ? copy : page + at;
            if (_options.Verify != BenchVerify.None && !IsRight(content, bytes, target, offset, op.Generation)) return;
            copy += bytes;
            (offset, left) = (offset + bytes, left - bytes);
        }
    }

    /// <summary>Pages lie anywhere: the next one's lines come while this one is copied.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* page)
    {
        if (!Sse.IsSupported || page == null) return;
        for (int line = 0; line < 32; line++) Sse.Prefetch0(page + (line * 64));
    }

    private bool IsRight(byte* content, int bytes, long target, long offset, uint generation)
    {
        long sector = offset / Content.SectorBytes;
        int wrong = Content.FirstDifference(content, bytes, (ulong)_options.Seed, target, sector, generation, _options.Verify == BenchVerify.Full);
        if (wrong < 0) return true;
        Mismatches++;
        int start = wrong & ~(Content.SectorBytes - 1);
        if (Messages.Count < MaxMessages)
        {
            string name = System.Text.Encoding.UTF8.GetString(_targets.Name(target));
            string what = Content.Explain(content + start, (ulong)_options.Seed, target, sector + (start / Content.SectorBytes), generation);
            Messages.Add($"{name} at byte {offset + wrong}: expected generation {generation}, found {what}");
        }

        return false;
    }

    private void Fail(in Request request, int status)
    {
        Errors[Math.Clamp(status, 0, MaxErrno - 1)]++;
        if (Messages.Count < MaxMessages) Messages.Add($"{request}: {Errno.Name(status)}, {Errno.Describe(status)}");
    }

    private bool Give(in Request request)
    {
        _port.Free(request);
        return false;
    }
}
