using Archipelago.Memd;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>ACQUIRE and RELEASE through the cache.</summary>
public sealed class LockTests : IDisposable
{
    private static readonly byte[] Mine = [1, .. new byte[63]], Yours = [2, .. new byte[63]];
    private readonly MemdPeer _memd = new(new MemdOptions { Volatile = true });

    [Fact]
    public void LockTakenThroughTheCacheIsHeldBelow()
    {
        using var rig = Make(out _);
        Assert.Equal(0, Ask(rig, XsegOp.Acquire, "volume", Mine).Status);
        Assert.Equal(XsegErrno.EBUSY, Ask(rig, XsegOp.Acquire, "volume", Yours, RequestFlags.NoSync, below: true).Status);
        Assert.Equal(XsegErrno.EBUSY, Ask(rig, XsegOp.Acquire, "volume", Yours, RequestFlags.NoSync).Status);
        Assert.Equal(0, Ask(rig, XsegOp.Acquire, "volume", Mine, below: true).Status);
        Assert.Equal(XsegErrno.EACCES, Ask(rig, XsegOp.Release, "volume", Yours).Status);
        Assert.Equal(0, Ask(rig, XsegOp.Release, "volume", Mine).Status);
        Assert.Equal(XsegErrno.ENOENT, Ask(rig, XsegOp.Release, "volume", Mine).Status);
        Assert.Equal(0, Ask(rig, XsegOp.Acquire, "volume", Yours, RequestFlags.NoSync, below: true).Status);
    }

    [Fact]
    public void ReleaseComesAfterWhatIsDirtyIsStable()
    {
        using var rig = Make(out var blocker);
        Ask(rig, XsegOp.Acquire, "volume", Mine);
        rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        rig.Write(1, "b", 512, Rig.Fill(1024, 2));
        blocker.Seen.Clear();
        blocker.Hold = request => request.Op == XsegOp.Flush;
        var release = rig.Start(() => rig.Client.IssueAsync(XsegOp.Release, 1, "volume", cookie: Mine));
        rig.World.RunUntil(() => blocker.Held == 1, "flush");
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.Empty(blocker.Of(XsegOp.Release));
        Assert.Equal(XsegErrno.EBUSY, Ask(rig, XsegOp.Acquire, "volume", Yours, RequestFlags.NoSync, below: true).Status);
        blocker.Release();
        rig.World.RunUntil(() => release.IsCompleted, "release");
        Assert.Equal(0, release.Result.Status);
        Assert.Equal(["Write", "Write", "Flush", "Release"], blocker.Seen.Where(seen => seen.Op != XsegOp.Acquire).Select(seen => seen.Op.ToString()));
        Assert.Equal(0, rig.Store.DirtyPages);
        _memd.Crash();
        Assert.Equal(Rig.Fill(8192, 1), rig.ReadBelow(1, "a", 0, 8192).Data);
    }

    [Theory]
    [InlineData(XsegOp.Write)]
    [InlineData(XsegOp.Flush)]
    public void ReleaseFailsAndTheLockStaysIfTheDataCannotBeMadeStable(XsegOp failing)
    {
        using var rig = Make(out var blocker);
        Ask(rig, XsegOp.Acquire, "volume", Mine);
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        blocker.Fail = request => request.Op == failing ? XsegErrno.ENOSPC : 0;
        Assert.Equal(XsegErrno.ENOSPC, Ask(rig, XsegOp.Release, "volume", Mine).Status);
        Assert.Empty(blocker.Of(XsegOp.Release));
        Assert.Equal(1, rig.Store.DirtyPages);
        Assert.Equal(XsegErrno.EBUSY, Ask(rig, XsegOp.Acquire, "volume", Yours, RequestFlags.NoSync, below: true).Status);
        blocker.Fail = null;
        Assert.Equal(0, Ask(rig, XsegOp.Release, "volume", Mine).Status);
        Assert.Equal(Rig.Fill(4096, 1), rig.ReadBelow(1, "a", 0, 4096).Data);
    }

    [Fact]
    public void MoreWaitingAcquiresThanSlotsHoldNothingUp()
    {
        using var rig = Make(out _, slots: 16);
        var second = new Client();
        var process = rig.World.Spawn("second", rig.DirectoryPath);
        process.Start(new PeerPlan { Name = "second", Peer = second, Pages = 16 });
        Assert.Equal(0, Ask(rig, XsegOp.Acquire, "volume", Mine).Status);
        var waiting = new List<Task<Reply>>();
        for (int i = 0; i < 11; i++)
        {
            waiting.Add(rig.Start(() => rig.Client.IssueAsync(XsegOp.Acquire, 1, "volume", cookie: Yours)));
            waiting.Add(process.Reactor.Run(() => second.IssueAsync(XsegOp.Acquire, 2, "volume", cookie: Yours)));
        }

        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(rig.Cached.Context.Statistics.InFlight >= 20);
        // What passes the cache by, what it fills, destages and flushes, and the RELEASE that all wait for.
        Assert.Equal(0, rig.Write(1, "a", 0, Rig.Fill(4096, 1)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Discard, 1, "a", 4096, 4096).Status);
        Assert.Equal(0, rig.Read(1, "missing", 0, 4096).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.All(waiting, task => Assert.False(task.IsCompleted));
        Assert.Equal(0, Ask(rig, XsegOp.Release, "volume", Mine).Status);
        // All of them say that they are the same owner.
        rig.World.RunUntil(() => waiting.TrueForAll(task => task.IsCompleted), "acquires");
        Assert.All(waiting, task => Assert.Equal(0, task.Result.Status));
        process.Kill();
    }

    [Fact]
    public void WhoGivesAnObjectBackMayWakeOthersThatAreDoneAtOnce()
    {
        var blocker = new RecordingBlocker(new MemdPeer(new MemdOptions()));
        using var rig = new Rig(1, new CachedOptions { Pages = 256 }, Placement.ClientApart, blocker: blocker);
        bool held = false;
        blocker.Hold = request => request.Op == XsegOp.Discard && !held && (held = true);
        var tasks = Enumerable.Range(0, 4).Select(_ => rig.Start(() => rig.Client.IssueAsync(XsegOp.Discard, 1, "a", 0, 4096))).ToList();
        rig.World.RunUntil(() => blocker.Held == 1 && rig.Cached.Context.Statistics.InFlight == 4, "discards");
        blocker.Release();
        rig.World.RunUntil(() => tasks.TrueForAll(task => task.IsCompleted), "discards");
        Assert.All(tasks, task => Assert.Equal(0, task.Result.Status));
    }

    public void Dispose() => _memd.Dispose();

    private Rig Make(out RecordingBlocker blocker, int slots = 256)
    {
        blocker = new RecordingBlocker(_memd);
        var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: blocker, slots: slots);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        return rig;
    }

    private static Reply Ask(Rig rig, XsegOp op, string name, byte[] cookie, RequestFlags flags = RequestFlags.None, bool below = false) =>
        rig.Run(() => rig.Client.IssueAsync(op, 1, name, flags: flags, cookie: cookie, route: below ? rig.Client.Blocks : null), $"{op}");
}
