using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Filed;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>filed in a process of its own that is killed with -9 while it writes, and started again.</summary>
public sealed class FiledKilledTests : IDisposable
{
    private const int Lives = 5, Places = 64;
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-filed-");

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public async Task Kill_9_in_the_middle_of_writes_is_a_pause_without_an_error_and_loses_nothing()
    {
        using var harness = BlockerHarness.Start(null);
        var contents = new byte[Places][];
        using var stop = new CancellationTokenSource();
        using var first = StartVictim(harness);
        var load = Task.Run(() => LoadAsync(harness, contents, stop.Token));
        var victim = first;
        for (int life = 1; life < Lives; life++)
        {
            int before = Volatile.Read(ref _answered);
            while (Volatile.Read(ref _answered) < before + 300 && !load.IsCompleted) await Task.Delay(1);
            victim.Kill();
            victim.WaitForExit();
            if (victim != first) victim.Dispose();
            victim = StartVictim(harness);
        }

        await stop.CancelAsync();
        await load;
        Assert.True(_answered >= 300 * (Lives - 1));
        Assert.Equal(0, harness.Status(XsegOp.Flush, ""));
        for (int place = 0; place < Places; place++)
            if (contents[place] is { } expected) Assert.Equal(expected, harness.Read($"object{place % 5}", (ulong)place * 6000, 5000).Data);

        // While it lives nobody else serves its directory.
        var refused = Assert.Throws<ErrnoException>(() => BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = _directory.FullName })));
        Assert.Contains($"process {victim.Id}", refused.Message);
        victim.StandardInput.Close();
        Assert.True(victim.WaitForExit(60_000));
        Assert.Equal(0, victim.ExitCode);
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(_directory.FullName, "tmp")));
        victim.Dispose();
    }

    private int _answered;

    private async Task LoadAsync(BlockerHarness harness, byte[][] contents, CancellationToken stop)
    {
        var random = new Random(3);
        while (!stop.IsCancellationRequested)
        {
            var places = Enumerable.Range(0, Places).OrderBy(_ => random.Next()).Take(16).ToArray();
            var asks = new List<Ask>();
            foreach (int place in places)
            {
                byte[] payload = new byte[5000];
                random.NextBytes(payload);
                contents[place] = payload;
                asks.Add(new Ask(XsegOp.Write, BlockerHarness.Name($"object{place % 5}"), (ulong)place * 6000, 5000) { Payload = payload });
            }

            asks.Add(new Ask(XsegOp.Flush, []));
            asks.Add(new Ask(XsegOp.Copy, BlockerHarness.Name("copy"), 0, 1 << 20) { Source = BlockerHarness.Name("object1") });
            foreach (var reply in await harness.Issue([.. asks]))
                // A copy may come before the object's first write.
                Assert.True(reply.Status is 0 or XsegErrno.ENOENT, $"errno {reply.Status}");
            Interlocked.Add(ref _answered, asks.Count);
        }
    }

    private Process StartVictim(BlockerHarness harness)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "Archipelago.Victim.dll");
        var process = Process.Start(new ProcessStartInfo("dotnet", [program, harness.SegmentDirectory, _directory.FullName]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        Assert.Equal("serving", process.StandardOutput.ReadLine());
        return process;
    }
}
