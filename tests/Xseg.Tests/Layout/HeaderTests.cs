using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Layout;

/// <summary>Creating, joining and destroying; files that are not what they should be.</summary>
public sealed class HeaderTests : IDisposable
{
    private static readonly SegmentOptions Small = new() { Ports = 2, SlotsPerPort = 16, Pages = 64, Flows = 2, Objects = 64, Routes = 1, Sessions = 1, Prefault = false };

    private readonly string _path = TestSegment.NewDirectory();

    private string SegmentFile => Path.Combine(_path, "segment");

    public HeaderTests() => Segment.Create(_path, Small).Dispose();

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Theory]
    [InlineData(0, "magic")]
    [InlineData(8, "layout")]
    [InlineData(16, "checksum")]
    [InlineData(48, "checksum")]
    [InlineData(152, "checksum")]
    [InlineData(160, "checksum")]
    public void ADamagedHeaderIsRefusedAndLeftAsItIs(int offset, string word)
    {
        byte[] bytes = File.ReadAllBytes(SegmentFile);
        bytes[offset] ^= 0x40;
        File.WriteAllBytes(SegmentFile, bytes);
        var failure = Assert.Throws<XsegException>(() => Segment.Join(_path));
        Assert.Equal(XsegErrno.EPROTO, failure.Errno);
        Assert.Contains(word, failure.Message);
        Assert.Contains(SegmentFile, failure.Message);
        Assert.Equal(XsegErrno.EEXIST, Assert.Throws<XsegException>(() => Segment.Create(_path, Small)).Errno);
        Assert.Equal(bytes, File.ReadAllBytes(SegmentFile));
    }

    [Theory]
    [InlineData(100, "too short")]
    [InlineData(4096, "truncated")]
    [InlineData(1_000_000, "truncated")]
    public void ATruncatedFileIsRefused(int length, string word)
    {
        using (var file = File.OpenWrite(SegmentFile)) file.SetLength(length);
        var failure = Assert.Throws<XsegException>(() => Segment.Join(_path));
        Assert.Equal(XsegErrno.EPROTO, failure.Errno);
        Assert.Contains(word, failure.Message);
    }

    /// <summary>Each size is wrong, but the checksum is right: it is no accident of the disk, and still nothing may be believed.</summary>
    [Theory]
    [InlineData(44)]
    [InlineData(48)]
    [InlineData(52)]
    [InlineData(56)]
    [InlineData(60)]
    [InlineData(64)]
    [InlineData(68)]
    [InlineData(72)]
    [InlineData(76)]
    [InlineData(80)]
    [InlineData(88)]
    [InlineData(96)]
    [InlineData(136)]
    [InlineData(152)]
    public unsafe void ImpossibleSizesAreRefusedThoughTheChecksumIsRight(int offset)
    {
        foreach (uint value in new uint[] { 0, 0x7FFF_FFFF, 0x8000_0000, uint.MaxValue })
        {
            byte[] bytes = File.ReadAllBytes(SegmentFile);
            byte[] changed = (byte[])bytes.Clone();
            BitConverter.TryWriteBytes(changed.AsSpan(offset), value);
            if (changed.AsSpan(offset, 4).SequenceEqual(bytes.AsSpan(offset, 4))) continue;
            fixed (byte* header = changed) ((SegmentHeader*)header)->Checksum = Segment.HeaderChecksum(*(SegmentHeader*)header);
            File.WriteAllBytes(SegmentFile, changed);
            Assert.Equal(XsegErrno.EPROTO, Assert.Throws<XsegException>(() => Segment.Join(_path)).Errno);
            File.WriteAllBytes(SegmentFile, bytes);
        }
    }

    [Fact]
    public void ASecondCreationIsRefusedAndTheFirstSegmentLivesOn()
    {
        using var first = Segment.Join(_path);
        Assert.Equal(XsegErrno.EEXIST, Assert.Throws<XsegException>(() => Segment.Create(_path, Small)).Errno);
        using var second = Segment.Join(_path);
        Assert.Equal(first.CreationId, second.CreationId);
    }

    [Fact]
    public void ASegmentInUseIsNotDestroyed()
    {
        using var user = Segment.Join(_path);
        using (TestSegment.Bind(user, "peer"))
            Assert.Equal(XsegErrno.EBUSY, Assert.Throws<XsegException>(() => Segment.Destroy(_path)).Errno);
        Segment.Destroy(_path);
        Assert.False(Segment.Exists(_path));
        Assert.Equal(XsegErrno.ENOENT, Assert.Throws<XsegException>(() => Segment.Join(_path)).Errno);
        Assert.Equal(XsegErrno.ENOENT, Assert.Throws<XsegException>(() => Segment.Destroy(_path)).Errno);
    }

    /// <summary>Else it would serve nobody, in a memory of its own, under locks of its own.</summary>
    [Fact]
    public void WhoJoinedBeforeTheDestructionCannotBindAfterIt()
    {
        using var late = Segment.Join(_path);
        Segment.Destroy(_path);
        Assert.Equal(XsegErrno.ESTALE, Assert.Throws<XsegException>(() => TestSegment.Bind(late, "peer")).Errno);
        Segment.Create(_path, Small).Dispose();
        Assert.Equal(XsegErrno.ESTALE, Assert.Throws<XsegException>(() => TestSegment.Bind(late, "peer")).Errno);
    }

    /// <summary>The lock file is one and the same for all: a second one would make the living look dead.</summary>
    [Fact]
    public void TheLockFileSurvivesDestruction()
    {
        using var late = Segment.Join(_path);
        Segment.Destroy(_path);
        using var next = Segment.Create(_path, Small);
        using var peer = TestSegment.Bind(next, "peer");
        Assert.True(PortTable.IsAlive(late, peer.Number));
    }

    [Fact]
    public void JoiningWhileOthersCreateAndDestroyFindsASegmentOrACleanError()
    {
        using var stop = new CancellationTokenSource();
        var joiner = new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    using var segment = Segment.Join(_path);
                    Assert.Equal(2, segment.PortCount);
                }
                catch (XsegException expected) when (expected.Errno is XsegErrno.EAGAIN or XsegErrno.ENOENT)
                {
                }
            }
        });
        joiner.Start();
        for (int round = 0; round < 60; round++)
        {
            Segment.Destroy(_path);
            Segment.Create(_path, Small).Dispose();
        }

        stop.Cancel();
        joiner.Join();
    }

    [Fact]
    public void FilesAreForTheOwnerAlone()
    {
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(SegmentFile));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_path, "locks")));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(_path));
    }

    [Theory]
    [InlineData(1, 16, 64)]
    [InlineData(65, 16, 64)]
    [InlineData(2, 15, 64)]
    [InlineData(2, 17, 64)]
    [InlineData(2, 131072, 64)]
    [InlineData(2, 16, 63)]
    [InlineData(2, 16, (1L << 30) + 1)]
    public void BadSizesAreRefusedByName(int ports, int slots, long pages) =>
        Assert.Contains("expected", Assert.Throws<XsegException>(() => Segment.Create(_path + "x", Small with { Ports = ports, SlotsPerPort = slots, Pages = pages })).Message);
}
