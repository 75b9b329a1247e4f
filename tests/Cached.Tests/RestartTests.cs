using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>A cache that comes back after kill -9.</summary>
public sealed class RestartTests
{
    [Fact]
    public void RestartedCacheIsWarmAndStillHasItsDirtyPages()
    {
        var blocker = new RecordingBlocker(new MemdPeer(new MemdOptions()));
        using var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: blocker);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.Below(XsegOp.Truncate, 1, "a", 0, 1 << 20);
        rig.Read(1, "a", 0, 16384);
        rig.Write(1, "a", 512, Rig.Fill(1024, 1));
        rig.Write(1, "b", 0, Rig.Fill(8192, 2));
        var before = rig.Read(1, "a", 0, 16384).Data;
        blocker.Seen.Clear();
        rig.RestartCache();
        Assert.True(rig.Cached.Context.Port.Recovered.HadPredecessor);
        Assert.Equal(before, rig.Read(1, "a", 0, 16384).Data);
        Assert.Equal(Rig.Fill(8192, 2), rig.Read(1, "b", 0, 8192).Data);
        Assert.Empty(blocker.Of(XsegOp.Read));
        Assert.Equal(3, rig.Store.DirtyPages);
        Conservation.Check(rig);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(8192, 2), rig.ReadBelow(1, "b", 0, 8192).Data);
    }

    [Fact]
    public void AnObjectThatTheBlockerLacksIsStillMissingAfterARestart()
    {
        using var rig = new Rig(1, new CachedOptions { Pages = 256 });
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.Write(1, "there", 0, Rig.Fill(4096, 1));
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(ReplyFlags.Missing, rig.Read(1, "never", 0, 4096).Flags);
        rig.RestartCache();
        Assert.Equal(ReplyFlags.Missing, rig.Read(1, "never", 0, 4096).Flags);
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "never", 0, 4096, flags: RequestFlags.MustExist).Status);
        Assert.Equal(ReplyFlags.None, rig.Read(1, "there", 0, 4096, flags: RequestFlags.MustExist).Flags);
        // And no longer, once it is written.
        rig.Write(1, "never", 8192, Rig.Fill(4096, 2));
        rig.RestartCache();
        Assert.Equal(ReplyFlags.None, rig.Read(1, "never", 0, 4096).Flags);
    }

    [Fact]
    public void OrderlyStopBringsEverythingDown()
    {
        using var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) });
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        rig.CacheProcess.Stop();
        Assert.Equal(Rig.Fill(4096, 1), rig.ReadBelow(1, "a", 0, 4096).Data);
        Assert.Equal(0, rig.ClientProcess.Segment.DirtyPages());
    }
}
