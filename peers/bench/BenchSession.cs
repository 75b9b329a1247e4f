using System.Buffers.Binary;
using System.Diagnostics;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Bench;

/// <summary>One run from OPEN to CLOSE, on the bench's reactor.</summary>
internal sealed class BenchSession(BenchOptions options, IReactor reactor, BenchDriver driver, bool inProcess)
{
    /// <summary>
    /// The runtime itself allocates an object of 64 bytes now and then (a first park, a method made anew by the JIT). The smallest
    /// allocation per request, 24 bytes, passes this mark after a dozen requests.
    /// </summary>
    private const long OnceBytes = 256;

    // The smallest port has 16 slots.
    private const int CallsAtOnce = 8;

    internal async Task<BenchReport> RunAsync(Action<BenchRun> begun)
    {
        var targets = options.Volume.Length > 0 ? await OpenAsync()
            : Targets.OfObjects(options, options.Op == BenchOp.Copy ? 0 : FlowTable.FindOrUse(driver.Port.Segment, System.Text.Encoding.UTF8.GetBytes(options.Flow), driver.Port.Number));
        if (targets.Blocks == 0 && options.Op != BenchOp.Ping)
            throw new ErrnoException(Errno.EINVAL, $"--block-size {options.BlockSize}: larger than the target");
        var run = new BenchRun(options, targets.Blocks);
        begun(run);
        if (options.Op == BenchOp.Copy) return Report(run, targets, CopyLoop.Run(options, run), null);

        var made = options.RemoveObjects ? await MissingAsync(run, targets) : [];
        bool flushes = options.Writes && options.Flush;
        if (flushes) await FlushAsync(targets);
        using var transfers = new Transfers(options, driver.Port, targets, run);
        await driver.DriveAsync(transfers, run, options.Depth);
        TimeSpan? flushed = null;
        if (flushes)
        {
            run.Enter(BenchPhase.Flushing);
            long start = Stopwatch.GetTimestamp();
            await FlushAsync(targets);
            flushed = Stopwatch.GetElapsedTime(start);
        }

        run.Enter(BenchPhase.Removing);
        string? left = await RemoveAsync(run, targets, made);
        if (options.Volume.Length > 0) await CallAsync(XsegOp.Close, targets.Flow, Name());
        run.Enter(BenchPhase.Done);
        if (left is not null) transfers.Messages.Add(left);
        return Report(run, targets, transfers, flushed);
    }

    private byte[] Name() => System.Text.Encoding.UTF8.GetBytes(options.Volume);

    private async Task<Targets> OpenAsync()
    {
        var flags = options.Writes ? RequestFlags.None : RequestFlags.ReadOnly;
        uint flow = 0;
        long size = await CallAsync(XsegOp.Open, 0, Name(), flags, result => flow = BinaryPrimitives.ReadUInt32LittleEndian(result[8..]));
        if (options.ObjectSize > size)
            throw new ErrnoException(Errno.EINVAL, $"--object-size: expected at most {size}, the size of volume '{options.Volume}', found {options.ObjectSize}");
        return Targets.OfVolume(options, size, flow);
    }

    private Task<long> FlushAsync(Targets targets) => CallAsync(XsegOp.Flush, targets.Flow, targets.Name(0).ToArray());

    private delegate void ResultReader(ReadOnlySpan<byte> result);

    private async Task<long> CallAsync(XsegOp op, uint flow, byte[] target, RequestFlags flags = RequestFlags.None, ResultReader? read = null)
    {
        string what = op.ToString().ToUpperInvariant();
        var call = TryCallAsync(op, flow, target, flags, read);
        if (await Task.WhenAny(call, reactor.Delay(options.Timeout).AsTask()) != call)
            throw new ErrnoException(Errno.ETIMEDOUT, $"{what} was not answered within {options.Timeout.TotalSeconds:0.#} s; is the target hung? See `archipelago segment ports`");
        var (status, serviced) = await call;
        return status == 0 ? serviced
            : throw new ErrnoException(status, $"{what} of '{System.Text.Encoding.UTF8.GetString(target)}' failed: {Errno.Describe(status)}");
    }

    /// <summary>Has no limit of its own: who makes many of these is watched by the runner.</summary>
    private async Task<(int Status, long Serviced)> TryCallAsync(XsegOp op, uint flow, byte[] target, RequestFlags flags = RequestFlags.None, ResultReader? read = null)
    {
        if (!driver.Port.TryAllocate(out var request)) throw new InvalidOperationException("no slot in a port that does nothing");
        driver.Port.Prepare(request, op, flow, target, Hash128.Of(target), 0, 0, flags);
        int status = await driver.CallAsync(request);
        long serviced = (long)request.Serviced;
        if (status == 0) read?.Invoke(request.Result);
        driver.Port.Free(request);
        return (status, serviced);
    }

    /// <summary>The objects that do not exist: what a run makes of them is its own.</summary>
    private async Task<IReadOnlyList<int>> MissingAsync(BenchRun run, Targets targets)
    {
        var missing = new List<int>();
        await EachAsync(Enumerable.Range(0, targets.Count), async target =>
        {
            var (status, _) = await TryCallAsync(XsegOp.Info, targets.Flow, targets.Name(target).ToArray());
            run.NoteOther();
            if (status == Errno.ENOENT) missing.Add(target);
        });
        return missing;
    }

    /// <summary>Deletes objects; returns what to tell if some are left.</summary>
    private async Task<string?> RemoveAsync(BenchRun run, Targets targets, IReadOnlyList<int> made)
    {
        int left = 0, why = 0;
        await EachAsync(made, async target =>
        {
            var (status, _) = await TryCallAsync(XsegOp.Delete, targets.Flow, targets.Name(target).ToArray());
            run.NoteOther();
            if (status is not (0 or Errno.ENOENT)) (left, why) = (left + 1, status);
        });
        return left == 0 ? null : $"{left} objects '{options.Prefix}NNNNNNNN' that this run made could not be deleted: {Errno.Name(why)}, {Errno.Describe(why)}";
    }

    private static async Task EachAsync(IEnumerable<int> targets, Func<int, Task> work)
    {
        foreach (int[] few in targets.Chunk(CallsAtOnce)) await Task.WhenAll(few.Select(work));
    }

    private BenchReport Report(BenchRun run, Targets targets, Transfers? transfers, TimeSpan? flushed)
    {
        long requests = run.MeasuredRequests;
        long bytes = options.Op == BenchOp.Ping ? 0 : requests * options.BlockSize;
        double seconds = run.Measured.TotalSeconds;
        var errors = new Dictionary<string, long>();
        for (int errno = 0; transfers != null && errno < transfers.Errors.Length; errno++)
            if (transfers.Errors[errno] != 0) errors.Add(Errno.Name(errno), transfers.Errors[errno]);
        var messages = new List<string>(transfers?.Messages ?? []);
        bool allocated = options.AssertNoAlloc && run.Allocated > OnceBytes;
        if (allocated) messages.Add($"--assert-no-alloc: {run.Allocated} managed bytes were allocated by {requests} requests");
        return new BenchReport
        {
            Op = options.Op.ToString().ToLowerInvariant(),
            Pattern = BenchTable.NameOf(options.Pattern),
            Route = options.Op == BenchOp.Copy ? "none" : options.EffectiveRoute,
            InProcess = inProcess,
            BlockSize = options.BlockSize,
            Depth = options.Depth,
            Blocks = targets.Blocks,
            Requests = requests,
            Reads = transfers?.ReadRequests ?? 0,
            Writes = transfers?.WriteRequests ?? 0,
            Bytes = bytes,
            Seconds = seconds,
            RequestsPerSecond = requests / seconds,
            BytesPerSecond = bytes / seconds,
            FlushSeconds = flushed?.TotalSeconds,
            RequestsPerSecondFlushed = flushed is { } f ? requests / (seconds + f.TotalSeconds) : null,
            Latency = BenchLatency.Of(run.Latency.Snapshot()),
            CpuSeconds = run.Cpu.TotalSeconds,
            CpuSecondsPerMillion = requests == 0 ? 0 : run.Cpu.TotalSeconds * 1e6 / requests,
            AllocatedBytes = run.Allocated,
            AllocatedBytesPerRequest = requests == 0 ? 0 : (double)run.Allocated / requests,
            Verify = options.Verify.ToString().ToLowerInvariant(),
            Mismatches = transfers?.Mismatches ?? 0,
            Errors = errors,
            PageStalls = transfers?.PageStalls ?? 0,
            Messages = messages,
            Ok = errors.Count == 0 && (transfers?.Mismatches ?? 0) == 0 && !allocated,
        };
    }
}
