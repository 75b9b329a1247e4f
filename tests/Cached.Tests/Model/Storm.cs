using System.Security.Cryptography;
using Archipelago.Memd;
using Archipelago.Runtime.Hosting;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests.Model;

/// <summary>What a storm may do.</summary>
internal sealed record StormOptions
{
    internal int Operations { get; init; } = 150;
    internal bool Errors { get; init; }
    internal bool Volatile { get; init; }
    /// <summary>Kills of the cache at random stores.</summary>
    internal int Kills { get; init; }
    internal Placement? Placement { get; init; }
    /// <summary>Policies change while requests are under way.</summary>
    internal bool Policies { get; init; }
    /// <summary>Kills of the blocker's process at random stores; what it has taken stays, as on a disk.</summary>
    internal int BlockerKills { get; init; }
    /// <summary>Kills of the client at random stores: what it had asked for may or may not have taken effect.</summary>
    internal int ClientKills { get; init; }
}

/// <summary>Random requests against a rig, many at once, each checked against the model. Everything follows from the seed.</summary>
internal sealed partial class Storm : IDisposable
{
    private readonly SeededRandom _random;
    private readonly StormOptions _options;
    private readonly ObjectModel[] _objects;
    private readonly ulong _seed;
    private readonly MemdOptions _calm;
    private readonly int _depth;
    private readonly long[] _lastFlush = new long[8];
    private readonly int[] _flushing = new int[8];
    private readonly bool[] _invalidating = new bool[8];
    private int _left;
    private ulong _stamp;
    private long _clock;
    private int _busy;
    private readonly Queue<Victim> _victims = new();
    private readonly List<(ObjectModel Target, ObjectModel Source)> _copies = [];
    private Exception? _failure;

    internal Storm(ulong seed, StormOptions options)
    {
        (_seed, _options, _random) = (seed, options, new SeededRandom(seed * 7919 + 13));
        int pages = 64 << (int)_random.Next(3);
        _depth = 1 + (int)_random.Next(_random.Next(4) == 0 ? 100 : 24);
        int sectors = Pick(8, 64, 256, 1024, 1024, 1024, 4096);
        _calm = new MemdOptions
        {
            Latency = TimeSpan.FromMicroseconds(_random.Next(2) * _random.Next(300)),
            Jitter = TimeSpan.FromMicroseconds(_random.Next(2) * _random.Next(2000)),
            Stable = !options.Volatile && _random.Next(2) == 0,
            Volatile = options.Volatile,
        };
        Rig = new Rig(seed, new CachedOptions
        {
            Pages = pages,
            DirtyRatio = Pick(0.1, 0.5, 0.75, 0.95),
            DestageRatio = Pick(0.0, 0.05, 0.25),
            DirtyAge = TimeSpan.FromMilliseconds(Pick(1, 50, 1000)),
            DestageDepth = Pick(1, 4, 32),
            DestageRun = Pick(1, 3, 16, 128),
            FillDepth = Pick(1, 4, 256),
        }, options.Placement ?? Pick(Placement.One, Placement.ClientApart, Placement.Apart), _calm,
            slots: Pick(16, 64, 256), sparePages: Pick(8, 64), objects: 64, clientPages: sectors > 1024 ? 1600 : 500);
        for (uint flow = 1; flow <= 3; flow++) Rig.SetPolicy(flow, Pick(CachePolicy.WriteBack, CachePolicy.WriteBack, CachePolicy.WriteBack, CachePolicy.WriteThrough, CachePolicy.Off), safeUntilFlush: _random.Next(4) == 0);
        _objects = Enumerable.Range(0, Pick(1, 2, 5, 90)).Select(i => new ObjectModel($"object{i}", (uint)(1 + i % 3), Math.Max(8, sectors / (i % 3 + 1)))).ToArray();
        _left = options.Operations;
        IEnumerable<Victim> victims = [.. Enumerable.Repeat(Victim.Cache, options.Kills), .. Enumerable.Repeat(Victim.Blocker, options.BlockerKills), .. Enumerable.Repeat(Victim.Client, options.ClientKills)];
        foreach (var victim in options.BlockerKills + options.ClientKills == 0 ? victims : victims.OrderBy(_ => _random.Next(1 << 20)).ToArray()) _victims.Enqueue(victim);
    }

    internal Rig Rig { get; }

    internal void Run()
    {
        try
        {
            Rage();
            Settle();
        }
        catch (Exception failure)
        {
            string trace = string.Join("\n", (failure.StackTrace ?? "").Split('\n').Take(12));
            throw new Xunit.Sdk.XunitException($"seed {_seed}: {failure.Message}\n{trace}");
        }
    }

    private void Rage()
    {
        long killAt = _victims.Count > 0 ? Rig.World.Steps + 50 + _random.Next(400) : long.MaxValue;
        while (_left > 0 || _busy > 0)
        {
            if (_failure != null) throw _failure;
            while (Revive())
                if (_victims.Count > 0) killAt = Rig.World.Steps + 50 + _random.Next(400);
            while (_left > 0 && _busy < _depth && _random.Next(3) != 0) Launch();
            if (_options.Errors && _random.Next(200) == 0) ChangeWeather();
            if (_options.Policies && _random.Next(60) == 0) ChangePolicy();
            if (Rig.World.Steps > killAt)
            {
                ProcessOf(_victims.Dequeue()).KillBeforeStore(_random.Next(60));
                killAt = long.MaxValue;
            }

            if (_busy > 0) Require(Rig.World.Step(), "the world stands still");
            Require(Rig.World.Steps < 150_000, $"{_busy} requests hang");
            if (_left == 0 && _options.Errors && _random.Next(100) == 0) Rig.Memd.Change(_calm);
        }

        if (_failure != null) throw _failure;
    }

    private void Settle()
    {
        while (Revive())
        {
        }

        foreach (var process in (Simulation.SimProcess[])[Rig.CacheProcess, Rig.BlocksProcess, Rig.ClientProcess]) process.KillBeforeStore(-1);
        Rig.Memd.Change(_calm);
        Rig.World.RunUntil(() => Rig.Cached.Destager.WritesInFlight == 0 && Rig.Cached.Context.Statistics.InFlight == 0 && Rig.Store.Objects.All().All(of => !of.IsBusy), "coming to rest");
        Conservation.Check(Rig);
        foreach (var of in _objects) CheckWhole(of, below: false);
        for (uint flow = 1; flow <= 3; flow++)
        {
            uint flushed = flow;
            int status = Rig.Run(() => FlushAsync(flushed), "the last flush");
            // What a FLUSH of the cache's own has lost is told once.
            if (status == XsegErrno.EIO) status = Rig.Run(() => FlushAsync(flushed), "the very last flush");
            Require(status == 0, $"the last FLUSH: errno {status}");
        }

        if (_failure != null) throw _failure;
        Require(Rig.Store.DirtyPages == 0, $"{Rig.Store.DirtyPages} pages are dirty after all was flushed");
        Conservation.Check(Rig);
        if (_options.Volatile) Rig.Memd.Crash();
        foreach (var of in _objects) CheckWhole(of, below: true);
    }

    /// <summary>Reads an object to its end, from the cache or from the blocker past it.</summary>
    private void CheckWhole(ObjectModel of, bool below)
    {
        const int Most = 512;
        for (int first = 0; first < of.Sectors; first += Most)
        {
            int count = Math.Min(Most, of.Sectors - first);
            long start = ++_clock;
            var reply = below ? Rig.ReadBelow(of.Flow, of.Name, (ulong)first * 512, (ulong)count * 512) : Rig.Read(of.Flow, of.Name, (ulong)first * 512, (ulong)count * 512, own: _random.Next(2) == 0);
            Require(reply.Status == 0, $"last read: errno {reply.Status}");
            CheckData(of, first, reply.Data!, start, below ? "in the blocker" : "in the cache");
        }
    }

    private T Pick<T>(params ReadOnlySpan<T> choices) => choices[(int)_random.Next(choices.Length)];

    private void Require(bool holds, string what)
    {
        if (!holds) throw new InvalidOperationException(what);
    }

    private void ChangeWeather() => Rig.Memd.Change(_random.Next(2) == 0 ? _calm : _calm with
    {
        Rules = [new MemdRule(Pick<XsegOp?>(XsegOp.Write, XsegOp.Flush, XsegOp.Read, null, XsegOp.Discard), Pick(XsegErrno.EIO, XsegErrno.ENOSPC)) { Probability = Pick(0.05, 0.3, 1.0) }],
    });

    private void Launch()
    {
        var of = _objects[_random.Next(_objects.Length)];
        if (of.Alone) return;
        _left--;
        int first = (int)_random.Next(of.Sectors), count = Math.Min(1 + (int)_random.Next(Pick(1, 8, 40, 200)), of.Sectors - first);
        if (_random.Next(3) == 0) (first, count) = (first & ~7, Math.Min((count + 7) & ~7, of.Sectors - (first & ~7)));
        bool fua = _random.Next(10) == 0;
        switch (_random.Next(42))
        {
            case < 16:
                Go(() => ChangeAsync(of, XsegOp.Write, first, count, fua));
                break;
            case < 25:
                Go(() => ReadAsync(of, first, count, of.Flow, RequestFlags.None));
                break;
            case < 29:
                // Whoever says that it never changes again may read it; here it does change.
                uint reader = 1 + (uint)_random.Next(3);
                Go(() => ReadAsync(of, first, count, reader, RequestFlags.Shared));
                break;
            case < 32 when !_invalidating[of.Flow]:
                Go(() => FlushAsync(of.Flow));
                break;
            case 32:
                Go(() => ChangeAsync(of, XsegOp.Discard, first, count, fua));
                break;
            case 33:
                Go(() => ChangeAsync(of, XsegOp.WriteZeroes, first, count, fua));
                break;
            case 34:
                Go(() => ResizeAsync(of, XsegOp.Truncate, first));
                break;
            case 35:
                Go(() => ResizeAsync(of, XsegOp.Delete, 0));
                break;
            case 36 when of.Pending == 0:
                Go(() => InfoAsync(of));
                break;
            case 37 when of.Pending == 0:
                Go(() => HashAsync(of));
                break;
            case 38 when of.Pending == 0:
                var source = _objects[_random.Next(_objects.Length)];
                bool shared = source.Flow != of.Flow || _random.Next(2) == 0;
                if (source != of && source is { Pending: 0, Alone: false } && (source.Sectors == of.Sectors || _random.Next(2) == 0)) Go(() => CopyAsync(of, source, shared, fua));
                break;
            case 39 when _options.ClientKills == 0 && _random.Next(3) == 0 && MayInvalidate(of.Flow):
                Go(() => InvalidateAsync(of.Flow));
                break;
            case 40 when _random.Next(3) == 0:
                Go(() => RetireAsync(of.Flow));
                break;
            default:
                break;
        }
    }

    private void Go(Func<Task> operation)
    {
        _busy++;
        _ = Rig.Start(async () =>
        {
            try
            {
                await operation();
            }
            catch (Exception failure) when (failure is not Xseg.Memory.CrashException)
            {
                _failure ??= failure;
            }

            _busy--;
            return 0;
        });
    }

    private async Task ChangeAsync(ObjectModel of, XsegOp op, int first, int count, bool fua)
    {
        ulong stamp = op == XsegOp.Write ? ++_stamp : 0;
        long start = ++_clock;
        of.Pending++;
        bool resized = of.PendingResizes > 0, existed = of.Size >= 0;
        for (int i = first; i < first + count; i++) of.Registers[i].Begin(stamp, start);
        var flags = fua ? RequestFlags.ForceUnitAccess : RequestFlags.None;
        ulong offset = (ulong)first * 512, length = (ulong)count * 512;
        var reply = op == XsegOp.Write
            ? await Rig.Client.WriteAsync(of.Flow, of.Name, offset, Rig.Fill((int)length, stamp), flags)
            : await Rig.Client.IssueAsync(op, of.Flow, of.Name, offset, length, flags);
        long end = ++_clock;
        bool ok = reply.Status == 0;
        Require(ok || MayFail(reply.Status), $"{op} of {of.Name} [{first}+{count}]: errno {reply.Status}");
        Require(!ok || reply.Serviced == length, $"{op}: {reply.Serviced} of {length} bytes");
        for (int i = first; i < first + count; i++) of.Registers[i].End(stamp, end, ok, fua);
        of.Pending--;
        resized |= of.PendingResizes > 0;
        // DISCARD never resizes; WRITE_ZEROES does not make objects.
        bool extends = op == XsegOp.Write || (op == XsegOp.WriteZeroes && of.Size >= 0);
        if (op == XsegOp.WriteZeroes && !existed) resized |= of.Pending > 0 || of.Size >= 0;
        if (op != XsegOp.Discard && (!ok || resized)) of.SizeKnown = false;
        if (extends && ok) of.Size = Math.Max(of.Size, (long)(offset + length));
    }

    private async Task ResizeAsync(ObjectModel of, XsegOp op, int sectors)
    {
        long start = ++_clock;
        // What runs beside it may have come before or after: the size is known only if nothing did.
        bool alone = of.Pending == 0 && _random.Next(2) == 0, existed = of.Size >= 0, known = of.SizeKnown;
        of.Alone = alone;
        of.Pending++;
        of.PendingResizes++;
        int first = op == XsegOp.Truncate ? sectors : 0;
        for (int i = first; i < of.Sectors; i++) of.Registers[i].Begin(0, start);
        var reply = await Rig.Client.IssueAsync(op, of.Flow, of.Name, 0, op == XsegOp.Truncate ? (ulong)sectors * 512 : 0);
        long end = ++_clock;
        bool ok = reply.Status == 0;
        Require(ok || MayFail(reply.Status), $"{op} of {of.Name}: errno {reply.Status}");
        if (ok && op == XsegOp.Delete && alone && known && _options.Kills + _options.BlockerKills == 0)
            Require(reply.Serviced == (existed ? 1u : 0u), $"DELETE of {of.Name}, size {of.Size}: serviced {reply.Serviced}");
        for (int i = first; i < of.Sectors; i++) of.Registers[i].End(0, end, ok, false);
        if (alone) of.Alone = false;
        of.Pending--;
        of.PendingResizes--;
        of.Size = op == XsegOp.Truncate ? sectors * 512L : -1;
        of.SizeKnown = ok && alone;
    }

    private async Task ReadAsync(ObjectModel of, int first, int count, uint reader, RequestFlags flags)
    {
        long start = ++_clock;
        bool slow = _random.Next(6) == 0;
        long hold = _random.Next(5_000_000);
        of.Pending++;
        var reply = await Rig.Client.ReadAsync(reader, of.Name, (ulong)first * 512, (ulong)count * 512, own: _random.Next(3) == 0, flags: flags, whileLent: !slow ? null : async (then, now) =>
        {
            await Rig.Client.Context.Reactor.Delay(TimeSpan.FromTicks(hold / 100));
            Require(then.AsSpan().SequenceEqual(now()), $"a page changed while it was lent: {of.Name} [{first}+{count}]");
        });
        of.Pending--;
        Require(reply.Status == 0 || MayFail(reply.Status), $"READ of {of.Name} [{first}+{count}]: errno {reply.Status}");
        if (reply.Status == 0) CheckData(of, first, reply.Data!, start, "read");
    }

    private void CheckData(ObjectModel of, int first, byte[] data, long start, string where)
    {
        long end = ++_clock;
        for (int i = 0; i < data.Length / 512; i++)
        {
            var stamp = ObjectModel.StampOf(data.AsSpan(i * 512, 512));
            Require(stamp != null, $"{of.Name} sector {first + i} is torn ({where})");
            Require(of.Registers[first + i].Observe(stamp!.Value, start, end), $"{of.Name} sector {first + i} {where} [{start}..{end}] is {stamp}: {of.Registers[first + i]}");
        }
    }

    private async Task<int> FlushAsync(uint flow)
    {
        long start = ++_clock;
        _flushing[flow]++;
        var reply = await Rig.Client.IssueAsync(XsegOp.Flush, flow, "");
        _flushing[flow]--;
        Require(reply.Status == 0 || MayFail(reply.Status), $"FLUSH: errno {reply.Status}");
        if (reply.Status != 0) return reply.Status;
        _lastFlush[flow] = start;
        foreach (var of in _objects)
            if (of.Flow == flow)
                foreach (var register in of.Registers) register.Flushed(start);
        return 0;
    }

    private async Task InfoAsync(ObjectModel of)
    {
        of.Alone = true;
        var reply = await Rig.Client.IssueAsync(XsegOp.Info, of.Flow, of.Name);
        of.Alone = false;
        if (MayFail(reply.Status) || !of.SizeKnown) return;
        Require(of.Size < 0 ? reply.Status == XsegErrno.ENOENT : reply.Status == 0 && reply.Serviced == (ulong)of.Size, $"INFO of {of.Name}: errno {reply.Status}, {reply.Serviced} bytes; expected {of.Size}");
    }

    private async Task HashAsync(ObjectModel of)
    {
        of.Alone = true;
        of.Pending++;
        var hash = await Rig.Client.IssueAsync(XsegOp.Hash, of.Flow, of.Name);
        var read = await Rig.Client.ReadAsync(of.Flow, of.Name, 0, (ulong)of.Sectors * 512);
        of.Alone = false;
        of.Pending--;
        Require(hash.Status == 0 || MayFail(hash.Status), $"HASH: errno {hash.Status}");
        if (hash.Status != 0 || read.Status != 0) return;
        var used = read.Data.AsSpan(0, read.Data.AsSpan().LastIndexOfAnyExcept((byte)0) + 1);
        Require(SHA256.HashData(used).AsSpan().SequenceEqual(hash.Result.AsSpan(0, 32)), $"HASH of {of.Name} is not that of its content");
    }

    private async Task CopyAsync(ObjectModel target, ObjectModel source, bool shared, bool fua)
    {
        (target.Alone, source.Alone) = (true, true);
        target.Pending++;
        source.Pending++;
        _copies.Add((target, source));
        int sectors = Math.Min(source.Sectors, target.Sectors);
        var flags = (shared ? RequestFlags.Shared : RequestFlags.None) | (fua ? RequestFlags.ForceUnitAccess : RequestFlags.None);
        var reply = await Rig.Client.IssueAsync(XsegOp.Copy, target.Flow, target.Name, 0, (ulong)sectors * 512, flags, source.Name);
        _copies.Remove((target, source));
        (target.Alone, source.Alone) = (false, false);
        target.Pending--;
        source.Pending--;
        Require(reply.Status is 0 or XsegErrno.ENOENT || MayFail(reply.Status), $"COPY: errno {reply.Status}");
        Require(!source.SizeKnown || reply.Status == 0 == source.Size >= 0 || MayFail(reply.Status), $"COPY: errno {reply.Status}, source of {source.Size} bytes");
        if (reply.Status == XsegErrno.ENOENT) return;
        bool ok = reply.Status == 0;
        long now = ++_clock;
        TakeOver(target, source, now, ok);
        if (ok && fua)
            foreach (var register in target.Registers) register.Flushed(now);
        (target.Size, target.SizeKnown) = (Math.Min(source.Size, sectors * 512L), ok && source.SizeKnown);
    }

    /// <summary>The target's sectors may be the source's; beyond a shorter source they are zeros.</summary>
    private static void TakeOver(ObjectModel target, ObjectModel source, long now, bool succeeded)
    {
        for (int i = 0; i < target.Sectors; i++) target.Registers[i].CopyOf(i < source.Sectors ? source.Registers[i] : new Register(), now, succeeded);
    }

    private bool MayFail(int status) => (_options.Errors && status is XsegErrno.EIO or XsegErrno.ENOSPC) || (_options.Kills + _options.BlockerKills > 2 && status == XsegErrno.EIO);

    public void Dispose() => Rig.Dispose();
}
