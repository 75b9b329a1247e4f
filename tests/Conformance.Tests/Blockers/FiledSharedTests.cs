using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Filed;
using Archipelago.Filed.Storage;
using Archipelago.Locks;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>Several filed, each of a segment of its own, on one directory.</summary>
public sealed class FiledSharedTests : IDisposable
{
    private const ulong Id = 0x1234, Hour = 3_600_000_000_000;
    private static readonly byte[] Alice = [.. Enumerable.Repeat((byte)1, 64)], Bob = [.. Enumerable.Repeat((byte)2, 64)];
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-filed-");

    public void Dispose() => _directory.Delete(recursive: true);

    private BlockerHarness Start(bool direct = false, bool shared = true) =>
        BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = _directory.FullName, Direct = direct, Shared = shared }));

    [Fact]
    public void All_or_none_share()
    {
        using (Start(shared: false)) Assert.Equal(Errno.EBUSY, Assert.Throws<ErrnoException>(() => Start()).Errno);
        using var first = Start();
        var refused = Assert.Throws<ErrnoException>(() => Start(shared: false));
        Assert.Contains("shared = true", refused.Message);
        using var second = Start();
        second.Write("a", 0, [1]);
        Assert.Equal([1], first.Read("a", 0, 1).Data);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_another_deletes_makes_anew_or_replaces_is_seen_though_it_was_open_here(bool direct)
    {
        using var a = Start(direct);
        using var b = Start(direct);
        byte[] one = Page(1), two = Page(2), three = Page(3);
        a.Write("o", 0, one);
        a.Write("source", 0, three);
        Assert.Equal(one, b.Read("o", 0, 4096).Data);
        a.Good(XsegOp.Delete, "o");
        Assert.Equal(ReplyFlags.Missing, b.Read("o", 0, 4096).Flags);
        Assert.Null(b.Info("o"));
        a.Write("o", 0, two);
        Assert.Equal(two, b.Read("o", 0, 4096).Data);
        b.Write("o", 4096, one);
        Assert.Equal([.. two, .. one], a.Read("o", 0, 8192).Data);
        // b has it open, with a change that is not stable; a replaces it.
        a.Good(new Ask(XsegOp.Copy, BlockerHarness.Name("o"), 0, 4096) { Source = BlockerHarness.Name("source") });
        Assert.Equal(three, b.Read("o", 0, 4096).Data);
        Assert.Equal(4096ul, b.Info("o"));
        b.Write("o", 4096, two, RequestFlags.ForceUnitAccess);
        Assert.Equal([.. three, .. two], a.Read("o", 0, 8192).Data);
        // Deleted elsewhere, and written here: it is there again.
        a.Good(XsegOp.Delete, "o");
        b.Write("o", 0, one);
        b.Good(XsegOp.Flush, "");
        Assert.Equal(one, a.Read("o", 0, 4096).Data);
        Assert.Equal(4096ul, a.Info("o"));
    }

    [Fact]
    public async Task Increments_by_swaps_of_two_are_all_counted()
    {
        using var a = Start();
        using var b = Start();
        int[] counts = await Task.WhenAll(new[] { a, a, b, b }.Select(by => Task.Run(async () =>
        {
            int done = 0;
            for (int attempts = 0; attempts < 200; attempts++)
            {
                byte[] seen = (await by.Issue(new Ask(XsegOp.Read, BlockerHarness.Name("counter"), 0, 512))).Data, next = [.. seen];
                BitConverter.TryWriteBytes(next, BitConverter.ToInt64(seen) + 1);
                Random.Shared.NextBytes(next.AsSpan(8));
                int status = (await by.Issue(new Ask(XsegOp.Write, BlockerHarness.Name("counter"), 0, 1024) { Payload = [.. seen, .. next], Flags = RequestFlags.Compare })).Status;
                if (status == 0) done++;
                else Assert.Equal(XsegErrno.EILSEQ, status);
            }

            return done;
        })));
        Assert.Equal(counts.Sum(), BitConverter.ToInt64(a.Read("counter", 0, 512).Data));
        Assert.All(counts, count => Assert.True(count > 0));
    }

    [Fact]
    public void Whoever_breaks_a_lock_kills_the_holders_filed_of_this_host_first()
    {
        using var harness = BlockerHarness.Start(null);
        using var holder = LockKilledTests.Start(harness, [_directory.FullName, "shared"]);
        using var breaker = Start();
        harness.Good(Ask(Alice) with { Length = 50_000_000 });
        harness.Bind(1, Id, 1);
        breaker.Bind(1, Id, 1);
        // Of an epoch that another holds: whoever names it is not he, but a lock is all that a blocker knows.
        breaker.Bind(1, Id, 7);
        Assert.Equal(XsegErrno.ESTALE, breaker.Do(new Ask(XsegOp.Write, BlockerHarness.Name("o"), 0, 4096) { Payload = Page(1) }).Status);
        var reply = breaker.Do(Ask(Bob) with { Flags = 0, DeadlineNanoseconds = 60_000_000_000 });
        Assert.Equal((0, 2ul), (reply.Status, reply.Serviced));
        // Before it was answered, and not by anybody here.
        Assert.True(IsDead(holder.Id));
        holder.WaitForExit();
        Assert.Equal(128 + 9, holder.ExitCode);
        breaker.Bind(1, Id, 2);
        breaker.Write("o", 0, Page(2));

        using var successor = LockKilledTests.Start(harness, [_directory.FullName, "shared"]);
        Assert.Equal(XsegErrno.ESTALE, harness.Do(new Ask(XsegOp.Write, BlockerHarness.Name("o"), 0, 4096) { Payload = Page(1) }).Status);
        Assert.Equal(Page(2), harness.Read("o", 0, 4096).Data);
        LockKilledTests.Stop(successor);
    }

    /// <summary>By what the kernel says: the runtime may hear of it a little later.</summary>
    private static bool IsDead(int process)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{process}/stat");
            return stat[stat.LastIndexOf(')') + 2] is 'Z' or 'X';
        }
        catch (IOException)
        {
            return true;
        }
    }

    [Fact]
    public void The_filed_of_another_host_is_not_killed_but_refuses_by_itself_once_its_lease_is_over()
    {
        using var a = Start();
        using var b = Start();
        a.Good(Ask(Alice) with { Length = 300_000_000 });
        a.Bind(1, Id, 1);
        PretendElsewhere(b);
        Assert.Equal(0, b.Do(new Ask(XsegOp.Release, LockName.Of(Id)) { Cookie = Bob, Flags = RequestFlags.Force }).Status);
        Assert.False(Record(b).Held);
        var write = new Ask(XsegOp.Write, BlockerHarness.Name("o"), 0, 4096) { Payload = Page(1) };
        int status = 0;
        // Until then it is believed: that is what the lease says, and why one waits for its end.
        for (var clock = Stopwatch.StartNew(); status == 0 && clock.Elapsed < TimeSpan.FromSeconds(60);) status = a.Do(write).Status;
        Assert.Equal(XsegErrno.ESTALE, status);
    }

    [Fact]
    public void A_change_that_comes_to_its_thread_after_the_lease_is_verified_again_before_it_begins()
    {
        using var a = BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = _directory.FullName, Shared = true, Threads = 1 }));
        using var b = Start();
        const ulong Lease = 300_000_000;
        a.Write("o", 0, Page(1));
        var clock = Stopwatch.StartNew();
        a.Good(Ask(Alice) with { Length = Lease });
        a.Bind(1, Id, 1);
        Task<Reply> late;
        // The only thread waits for another host in the middle of a swap.
        using (HoldSwapsOf("blocked"))
        {
            _ = a.Issue(new Ask(XsegOp.Write, BlockerHarness.Name("blocked"), 0, 1024) { Payload = new byte[1024], Flags = RequestFlags.Compare, Flow = 3 });
            late = a.Issue(new Ask(XsegOp.Write, BlockerHarness.Name("o"), 0, 4096) { Payload = Page(2), Flow = 1 });
            PretendElsewhere(b);
            Assert.Equal(0, b.Do(new Ask(XsegOp.Release, LockName.Of(Id)) { Cookie = Bob, Flags = RequestFlags.Force }).Status);
            while (clock.Elapsed.TotalNanoseconds <= Lease) Thread.Sleep(10);
            Assert.False(late.IsCompleted);
        }

        Assert.Equal(XsegErrno.ESTALE, HostThread.Wait(late).Status);
        Assert.Equal(Page(1), a.Read("o", 0, 4096).Data);
    }

    [Fact]
    public void A_release_waits_for_the_changes_under_way()
    {
        using var a = Start();
        a.Good(Ask(Alice));
        a.Bind(1, Id, 1);
        Task<Reply> swap, release;
        using (HoldSwapsOf("o"))
        {
            swap = a.Issue(new Ask(XsegOp.Write, BlockerHarness.Name("o"), 0, 1024) { Payload = [.. new byte[512], .. Page(1)[..512]], Flags = RequestFlags.Compare });
            release = a.Issue(new Ask(XsegOp.Release, LockName.Of(Id)) { Cookie = Alice });
            // It refuses what comes after it, long before it is answered.
            for (int status = 0; status == 0;) status = a.Do(new Ask(XsegOp.Write, BlockerHarness.Name("p"), 0, 4096) { Payload = Page(1) }).Status;
            Assert.True(Record(a).Held);
            Assert.False(release.IsCompleted);
        }

        Assert.Equal((0, 0), (HostThread.Wait(swap).Status, HostThread.Wait(release).Status));
        Assert.False(Record(a).Held);
    }

    [Fact]
    public void Another_filed_of_this_very_process_is_not_fenced_by_killing_both()
    {
        using var a = Start();
        using var b = Start();
        a.Good(Ask(Alice));
        Assert.Equal(XsegErrno.EBUSY, b.Do(new Ask(XsegOp.Release, LockName.Of(Id)) { Cookie = Bob, Flags = RequestFlags.Force }).Status);
        a.StopBlocker();
        Assert.Equal(0, b.Do(new Ask(XsegOp.Release, LockName.Of(Id)) { Cookie = Bob, Flags = RequestFlags.Force, Attempts = 1 }).Status);
        Assert.Equal("", Record(b).Fence);
    }

    [Fact]
    public void Temporary_files_of_the_living_stay_and_those_of_the_dead_go()
    {
        using var first = Start();
        string tmp = Path.Combine(_directory.FullName, "tmp");
        var own = FiledAddress.Next();
        string Left(FiledAddress of) => Path.Combine(tmp, of.ToString().Replace('/', '_') + ".1");
        string alive = Left(own with { Process = 1, Start = FiledAddress.StartOf(1)!.Value }), dead = Left(own with { Process = 1 << 22 }), far = Left(own with { Boot = Guid.NewGuid().ToString() });
        foreach (string file in (string[])[alive, dead, far, Path.Combine(tmp, "odd")]) File.WriteAllText(file, "");
        using (Start())
        {
            Assert.True(File.Exists(alive));
            Assert.True(File.Exists(far));
            Assert.False(File.Exists(dead));
            Assert.True(File.Exists(Path.Combine(tmp, "odd")));
        }
    }

    /// <summary>As another process does that is stopped in the middle of a swap.</summary>
    private FileStream HoldSwapsOf(string name)
    {
        var file = new FileStream(Path.Combine(_directory.FullName, SwapLock.FileName), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        file.Lock((long)(Hash128.Of(BlockerHarness.Name(name)).Low >> 2), 1);
        return file;
    }

    /// <summary>The record as if a host had written it that nobody sees from here.</summary>
    private static void PretendElsewhere(BlockerHarness by) => by.Write(
        LockText, 0, (Record(by) with { Address = (FiledAddress.Next() with { Boot = Guid.NewGuid().ToString() }).ToString() }).ToBytes(), flow: 3);

    private static LockRecord Record(BlockerHarness by) => LockRecord.Parse(by.Read(LockText, 0, 512).Data, out _)!;

    private static string LockText => System.Text.Encoding.ASCII.GetString(LockName.Of(Id));

    private static Ask Ask(byte[] cookie) => new(XsegOp.Acquire, LockName.Of(Id), 0, Hour) { Cookie = cookie, Flags = RequestFlags.NoSync };

    private static byte[] Page(int of) => [.. Enumerable.Repeat((byte)of, 4096)];
}
