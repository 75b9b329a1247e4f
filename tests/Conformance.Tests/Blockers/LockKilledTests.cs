using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Librados.Tests;
using Archipelago.Locks;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>Blockers in processes that die when they have executed a lock's request and nobody was told. (Each step inside: Locks.Tests.)</summary>
public abstract class LockKilledTests : IDisposable
{
    private const ulong Hour = 3_600_000_000_000;
    private static readonly byte[] Alice = [.. Enumerable.Repeat((byte)1, 64)], Bob = [.. Enumerable.Repeat((byte)2, 64)];
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-locks-");
    private readonly ulong _id = (ulong)Random.Shared.NextInt64(1, long.MaxValue);

    protected string Place => _directory.FullName;

    /// <summary>What follows the segment's directory on the victim's command line.</summary>
    protected abstract string[] Arguments { get; }

    private byte[] LockObject => LockName.Of(_id);

    public void Dispose()
    {
        _directory.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void Whoever_executed_it_may_die_and_what_is_held_is_verified_by_the_next()
    {
        using var harness = BlockerHarness.Start(null);
        var taken = Dies(harness, Ask(XsegOp.Acquire, Alice), out var successor);
        Assert.Equal((0, 1ul), (taken.Status, taken.Serviced));
        string first = Record(harness).Address;
        harness.Bind(1, _id, 1);
        harness.Write("guarded", 0, [1]);

        // A new instance has verified nothing, and registers itself before the first change.
        Kill(successor);
        using var third = StartVictim(harness);
        harness.Write("guarded", 0, [2]);
        Assert.NotEqual(first, Record(harness).Address);
        Assert.Equal((true, 1ul), (Record(harness).Held, Record(harness).Epoch));
        Kill(third);

        var given = Dies(harness, Ask(XsegOp.Release, Alice), out var fourth);
        Assert.Equal(0, given.Status);
        Assert.Equal((false, 1ul), (Record(harness).Held, Record(harness).Epoch));
        Assert.Equal(XsegErrno.ESTALE, harness.Do(new Ask(XsegOp.Write, BlockerHarness.Name("guarded"), 0, 1) { Payload = [3] }).Status);
        Assert.Equal([2], harness.Read("guarded", 0, 1).Data);
        Stop(fourth);
    }

    [Fact]
    public void A_break_whose_breaker_dies_before_he_is_told_is_his()
    {
        using var harness = BlockerHarness.Start(null);
        using (var victim = StartVictim(harness))
        {
            harness.Good(Ask(XsegOp.Acquire, Alice) with { Length = 1_000_000 });
            Kill(victim);
        }

        var reply = Dies(harness, Ask(XsegOp.Acquire, Bob) with { DeadlineNanoseconds = 60_000_000_000 }, out var successor);
        Assert.Equal((0, 2ul), (reply.Status, reply.Serviced));
        Assert.Equal(("", true), (Record(harness).Fence, Record(harness).IsOf(Bob)));
        Kill(successor);
        reply = Dies(harness, Ask(XsegOp.Release, Alice) with { Flags = RequestFlags.Force }, out successor);
        Assert.Equal(0, reply.Status);
        Assert.Equal((false, "", 3ul), (Record(harness).Held, Record(harness).Fence, Record(harness).Epoch));
        Stop(successor);
    }

    private Ask Ask(XsegOp op, byte[] cookie) => new(op, LockObject, 0, Hour) { Cookie = cookie };

    private LockRecord Record(BlockerHarness harness) => LockRecord.Parse(harness.Read(System.Text.Encoding.ASCII.GetString(LockObject), 0, 512).Data, out _)!;

    private Reply Dies(BlockerHarness harness, Ask ask, out Process successor)
    {
        using var victim = StartVictim(harness, ask.Op);
        var asked = harness.Issue(ask);
        Assert.True(victim.WaitForExit(60_000));
        Assert.Equal(128 + 9, victim.ExitCode);
        Assert.False(asked.IsCompleted);
        successor = StartVictim(harness);
        return HostThread.Wait(asked);
    }

    private Process StartVictim(BlockerHarness harness, XsegOp? dies = null) => Start(harness, Arguments, dies);

    internal static Process Start(BlockerHarness harness, string[] arguments, XsegOp? dies = null)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "Archipelago.Victim.dll");
        var info = new ProcessStartInfo("dotnet", [program, harness.SegmentDirectory, .. arguments]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (dies != null) info.Environment["VICTIM_DIES_OF"] = dies.ToString();
        var process = Process.Start(info)!;
        Assert.Equal("serving", process.StandardOutput.ReadLine());
        return process;
    }

    private static void Kill(Process victim)
    {
        victim.Kill();
        victim.WaitForExit();
        victim.Dispose();
    }

    internal static void Stop(Process victim)
    {
        victim.StandardInput.Close();
        Assert.True(victim.WaitForExit(60_000));
        Assert.Equal(0, victim.ExitCode);
        victim.Dispose();
    }
}

public sealed class FiledLockKilledTests : LockKilledTests
{
    protected override string[] Arguments => [Place];
}

[Collection(MemoryClusterGroup.Name)]
public sealed class RadosdLockKilledTests(MemoryCluster cluster) : LockKilledTests
{
    protected override string[] Arguments => [cluster.ConfigFile, DevCluster.Pool, Path.GetFileName(Place), Path.Combine(Place, "state")];
}
