using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Librados.Tests;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>WRITE with COMPARE on a blocker in a process of its own that is killed with -9.</summary>
public abstract class SwapKilledTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-swap-");

    protected string Place => _directory.FullName;

    /// <summary>What the program is told after the segment.</summary>
    protected abstract string[] Arguments { get; }

    public void Dispose()
    {
        _directory.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_swap_that_was_executed_and_not_answered_is_a_success_after_the_death(bool exists)
    {
        using var harness = BlockerHarness.Start(null);
        byte[] old = new byte[8192], fresh = new byte[8192], later = new byte[8192];
        var random = new Random(1);
        if (exists) random.NextBytes(old);
        random.NextBytes(fresh);
        random.NextBytes(later);
        using var victim = StartVictim(harness, dies: true);
        if (exists) harness.Write("swapped", 3584, old);
        var swap = harness.Issue(Swap("swapped", old, fresh));
        Assert.True(victim.WaitForExit(60_000));
        Assert.Equal(128 + 9, victim.ExitCode);
        Assert.False(swap.IsCompleted);
        using var successor = StartVictim(harness, dies: false);
        var reply = HostThread.Wait(swap);
        Assert.Equal((0, ReplyFlags.Stable), (reply.Status, reply.Flags));
        Assert.Equal(fresh, harness.Read("swapped", 3584, 8192).Data);
        Assert.Equal(XsegErrno.EILSEQ, (await harness.Issue(Swap("swapped", old, fresh))).Status);
        Assert.Equal(0, (await harness.Issue(Swap("swapped", fresh, later))).Status);
        Stop(successor);
    }

    [Fact]
    public async Task Increments_are_counted_once_whenever_the_blocker_dies()
    {
        const int Clients = 4, Lives = 4, PerLife = 60;
        using var harness = BlockerHarness.Start(null);
        int counted = 0;
        using var stop = new CancellationTokenSource();
        var victim = StartVictim(harness, dies: false);
        var clients = Enumerable.Range(1, Clients).Select(client => Task.Run(async () =>
        {
            for (long turn = 1; !stop.IsCancellationRequested; turn++)
            {
                byte[] seen = (await harness.Issue(new Ask(XsegOp.Read, BlockerHarness.Name("counter"), 3584, 8192))).Data;
                byte[] next = [.. seen];
                BitConverter.TryWriteBytes(next, BitConverter.ToInt64(seen) + 1);
                // Who and when: no two writers have the same bytes, in front and behind.
                foreach (int at in (int[])[8, 8176])
                {
                    BitConverter.TryWriteBytes(next.AsSpan(at), (long)client);
                    BitConverter.TryWriteBytes(next.AsSpan(at + 8), turn);
                }

                int status = (await harness.Issue(Swap("counter", seen, next))).Status;
                if (status == 0) Interlocked.Increment(ref counted);
                else Assert.Equal(XsegErrno.EILSEQ, status);
            }
        })).ToArray();
        for (int life = 1; life < Lives; life++)
        {
            int before = Volatile.Read(ref counted);
            while (Volatile.Read(ref counted) < before + PerLife && !clients.Any(client => client.IsCompleted)) await Task.Delay(1);
            victim.Kill();
            victim.WaitForExit();
            victim.Dispose();
            victim = StartVictim(harness, dies: false);
        }

        await stop.CancelAsync();
        await Task.WhenAll(clients);
        Assert.Equal(counted, BitConverter.ToInt64(harness.Read("counter", 3584, 512).Data));
        Assert.True(counted >= PerLife * (Lives - 1));
        Stop(victim);
        victim.Dispose();
    }

    private static Ask Swap(string name, byte[] expected, byte[] fresh) =>
        new(XsegOp.Write, BlockerHarness.Name(name), 3584, (ulong)(2 * fresh.Length)) { Payload = [.. expected, .. fresh], Flags = RequestFlags.Compare };

    private Process StartVictim(BlockerHarness harness, bool dies)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "Archipelago.Victim.dll");
        var info = new ProcessStartInfo("dotnet", [program, harness.SegmentDirectory, .. Arguments]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (dies) info.Environment["VICTIM_DIES_OF_SWAP"] = "1";
        var process = Process.Start(info)!;
        Assert.Equal("serving", process.StandardOutput.ReadLine());
        return process;
    }

    private static void Stop(Process victim)
    {
        victim.StandardInput.Close();
        Assert.True(victim.WaitForExit(60_000));
        Assert.Equal(0, victim.ExitCode);
    }
}

public sealed class FiledSwapKilledTests : SwapKilledTests
{
    protected override string[] Arguments => [Place];
}

[Collection(MemoryClusterGroup.Name)]
public sealed class RadosdSwapKilledTests(MemoryCluster cluster) : SwapKilledTests
{
    protected override string[] Arguments => [cluster.ConfigFile, DevCluster.Pool, Path.GetFileName(Place), Path.Combine(Place, "state")];
}
