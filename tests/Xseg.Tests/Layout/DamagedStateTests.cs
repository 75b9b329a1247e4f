using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;
using Xunit;

namespace Archipelago.Xseg.Tests.Layout;

/// <summary>The header's state and the lock file decide whether a segment may be replaced; no damage of them may cost what it holds.</summary>
public sealed unsafe class DamagedStateTests : IDisposable
{
    private static readonly SegmentOptions Small = new() { Ports = 2, SlotsPerPort = 16, Pages = 64, Flows = 2, Objects = 64, Routes = 1, Sessions = 1, Prefault = false };

    private readonly string _path = TestSegment.NewDirectory();

    private string SegmentFile => Path.Combine(_path, "segment");
    private string LockFile => Path.Combine(_path, "locks");

    public DamagedStateTests() => Segment.Create(_path, Small).Dispose();

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Theory]
    [InlineData(0u)]
    [InlineData(2u)]
    [InlineData(7u)]
    [InlineData(uint.MaxValue)]
    public void AUsedSegmentIsNeverCreatedAnewWhateverItsStateSays(uint state)
    {
        UseAndDie();
        SetState(state);
        byte[] before = File.ReadAllBytes(SegmentFile);
        Assert.Equal(XsegErrno.EEXIST, Assert.Throws<XsegException>(() => Segment.Create(_path, Small)).Errno);
        var refused = Assert.Throws<XsegException>(() => Segment.Join(_path));
        Assert.Equal(XsegErrno.EUCLEAN, refused.Errno);
        Assert.Contains("fsck", refused.Message);
        Assert.Equal(before, File.ReadAllBytes(SegmentFile));

        Assert.True(Segment.TryMendState(_path, out uint found));
        Assert.Equal(state, found);
        using var segment = Segment.Join(_path);
        Assert.Equal(1, segment.DirtyPages());
        Assert.False(Segment.TryMendState(_path, out _));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(7u)]
    public void FsckFindsADamagedStateAndRepairsIt(uint state)
    {
        UseAndDie();
        SetState(state);
        using (var segment = Segment.JoinDamaged(_path))
        {
            Assert.Contains(Fsck.Check(segment).Findings, finding => finding.Kind == FsckKind.DamagedHeader && finding.IsRepairable);
            Fsck.Repair(segment);
        }

        using var again = Segment.Join(_path);
        Assert.Equal(1, again.DirtyPages());
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(2u)]
    [InlineData(7u)]
    public void WhatNobodyHasUsedIsReplacedWhateverItsStateSays(uint state)
    {
        SetState(state);
        Assert.Equal(XsegErrno.EAGAIN, Assert.Throws<XsegException>(() => Segment.Join(_path)).Errno);
        Segment.Create(_path, Small).Dispose();
        Segment.Join(_path).Dispose();
    }

    /// <summary>A destroyer that died between its mark and the removal had made sure of the data, but for a living peer there was none.</summary>
    [Fact]
    public void ALivingPeersSegmentIsNotReplacedThoughItSaysDestroyed()
    {
        using var living = Segment.Join(_path);
        using var peer = TestSegment.Bind(living, "peer");
        SetState(2);
        Assert.Equal(XsegErrno.EEXIST, Assert.Throws<XsegException>(() => Segment.Create(_path, Small)).Errno);
        Assert.True(Segment.TryMendState(_path, out _));
        Segment.Join(_path).Dispose();
    }

    /// <summary>A zeroed first page looks like a creation that has just begun, but for what is behind it.</summary>
    [Theory]
    [InlineData(8)]
    [InlineData(4096)]
    public void ABlankHeaderOfAUsedSegmentIsDamageAndNoCreation(int bytes)
    {
        UseAndDie();
        using (var file = File.OpenWrite(SegmentFile)) file.Write(new byte[bytes]);
        SetState(0);
        byte[] before = File.ReadAllBytes(SegmentFile);
        Assert.Equal(XsegErrno.EPROTO, Assert.Throws<XsegException>(() => Segment.Join(_path)).Errno);
        Assert.Equal(XsegErrno.EEXIST, Assert.Throws<XsegException>(() => Segment.Create(_path, Small)).Errno);
        Assert.Equal(before, File.ReadAllBytes(SegmentFile));
    }

    [Fact]
    public void WithoutItsLockFileASegmentOfALivingPeerIsNeitherJoinedNorDestroyed()
    {
        using var living = Segment.Join(_path);
        using var peer = TestSegment.Bind(living, "peer");
        File.Delete(LockFile);
        foreach (var attempt in (Action[])[() => Segment.Join(_path), () => Segment.Destroy(_path), () => Fsck.Repair(Segment.JoinDamaged(_path))])
        {
            var refused = Assert.Throws<XsegException>(attempt);
            Assert.Equal(XsegErrno.EBUSY, refused.Errno);
            Assert.Contains("locks", refused.Message);
            Assert.Contains($"{Environment.ProcessId}", refused.Message);
        }

        Assert.Equal((uint)SegmentState.Ready, living.Header->State);
    }

    [Fact]
    public void WithoutItsLockFileASegmentOfTheDeadIsMendedByFsckOnly()
    {
        UseAndDie();
        File.Delete(LockFile);
        var refused = Assert.Throws<XsegException>(() => Segment.Join(_path));
        Assert.Equal(XsegErrno.EUCLEAN, refused.Errno);
        Assert.Contains("fsck --repair", refused.Message);
        using (var segment = Segment.JoinDamaged(_path))
        {
            Assert.Contains(Fsck.Check(segment).Findings, finding => finding.Kind == FsckKind.DamagedHeader);
            Fsck.Repair(segment);
        }

        using var again = Segment.Join(_path);
        Assert.Equal(1, again.DirtyPages());
    }

    /// <summary>One dirty cached page, of a process that is gone.</summary>
    private void UseAndDie()
    {
        var memory = Segment.Join(_path);
        var port = TestSegment.Bind(memory, "cached.0", keeps: true);
        Assert.True(port.Pages.TryTake(0, out var page));
        memory.PageAt(page.Page)->Word = new PageWord(PageState.Cache, (uint)port.Number, page.Generation).Value;
        memory.PageAt(page.Page)->Masks = new SectorMasks(255, 255, 0, 0).Packed;
        // The process that is gone is not this one.
        memory.PortAt(port.Number)->ProcessId = int.MaxValue;
        port.Abandon();
        memory.Dispose();
    }

    private void SetState(uint state)
    {
        using var file = File.OpenWrite(SegmentFile);
        file.Position = 256;
        file.Write(BitConverter.GetBytes(state));
    }
}
