using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Locks.Tests;

/// <summary>A store that several blockers use, and who of them was fenced. Time moves when a test says so.</summary>
internal sealed class World : IClock
{
    internal const ulong Second = 1_000_000_000;

    internal Dictionary<string, byte[]> Objects { get; } = [];
    internal HashSet<string> Fenced { get; } = [];
    internal List<string> Events { get; } = [];

    public long BoottimeNanoseconds { get; set; } = 1_000_000_000_000;
    public long MonotonicNanoseconds => BoottimeNanoseconds;
    public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch.AddTicks(BoottimeNanoseconds / 100);

    internal void Pass(ulong nanoseconds) => BoottimeNanoseconds += (long)nanoseconds;

    internal LockRecord Record(string name) => LockRecord.Parse(Objects[name], out _)!;
}

/// <summary>The host is gone at this point.</summary>
internal sealed class DiedException : Exception;

/// <summary>One blocker of the world with a segment of its own: dies before the step of the store that it is told.</summary>
internal sealed class FakeBlocker : LockStore, IDisposable
{
    private readonly string _directory = $"/dev/shm/archipelago-test-{Guid.NewGuid():N}";
    private readonly World _world;
    private readonly Segment _segment;
    private string? _address;

    internal FakeBlocker(World world, string address, bool leaseBounds = false)
    {
        (_world, _address, LeaseBoundsWrites) = (world, address, leaseBounds);
        _segment = Segment.Create(_directory, new SegmentOptions { Ports = 2, SlotsPerPort = 16, Flows = 16, Pages = 64, Prefault = false });
        for (int flow = 1; flow <= 4; flow++) FlowTable.FindOrAdd(_segment, System.Text.Encoding.ASCII.GetBytes($"volume{flow}"));
        Flows = new FlowLocks(_segment, world);
        Protocol = new LockProtocol(this, Flows, world, NullLogger.Instance);
    }

    internal FlowLocks Flows { get; }
    internal LockProtocol Protocol { get; }
    internal int StepsLeft { get; set; } = int.MaxValue;
    internal bool LosesAnswers { get; set; }
    internal int FenceStatus { get; set; }
    internal int Steps { get; private set; }
    internal List<uint> Drained { get; } = [];
    internal Action? BeforeRead { get; set; }
    internal Action? BeforeSwap { get; set; }

    public override string? Address => _address;
    public override bool LeaseBoundsWrites { get; }
    public override long VerifiedFor => Lasting;
    internal long Lasting { get; init; } = FlowLocks.Forever;

    internal void Rename(string address)
    {
        _address = address;
        Flows.ForgetAll();
    }

    internal unsafe void Bind(uint flow, ulong id, ulong epoch)
    {
        _segment.FlowAt(flow)->LockId = id;
        _segment.FlowAt(flow)->LockEpoch = epoch;
    }

    public override ValueTask<int> ReadAsync(byte[] name, byte[] into)
    {
        Step();
        var before = BeforeRead;
        BeforeRead = null;
        before?.Invoke();
        Array.Clear(into);
        if (_world.Objects.TryGetValue(Key(name), out byte[]? found)) found.CopyTo(into, 0);
        return new ValueTask<int>(0);
    }

    public override ValueTask<int> CompareAndSwapAsync(byte[] name, byte[] expected, byte[] fresh)
    {
        Step();
        var before = BeforeSwap;
        BeforeSwap = null;
        before?.Invoke();
        byte[] now = _world.Objects.GetValueOrDefault(Key(name), new byte[LockRecord.Size]);
        if (_world.Fenced.Contains(_address!)) return new ValueTask<int>(Errno.EIO);
        if (!now.AsSpan().SequenceEqual(expected)) return new ValueTask<int>(Errno.EILSEQ);
        _world.Objects[Key(name)] = fresh;
        // What a blocker sees that repeats a swap whose answer was lost.
        return new ValueTask<int>(LosesAnswers ? Errno.EILSEQ : 0);
    }

    public override ValueTask<int> FenceAsync(string address)
    {
        Step();
        if (FenceStatus != 0) return new ValueTask<int>(FenceStatus);
        Assert.NotEqual(_address, address);
        _world.Fenced.Add(address);
        _world.Events.Add($"fence {address}");
        return new ValueTask<int>(0);
    }

    public override ValueTask DrainAsync(uint flow)
    {
        Drained.Add(flow);
        return ValueTask.CompletedTask;
    }

    public void Dispose()
    {
        _segment.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private void Step()
    {
        Steps++;
        if (StepsLeft-- <= 0) throw new DiedException();
    }

    private static string Key(byte[] name) => System.Text.Encoding.ASCII.GetString(name);
}
