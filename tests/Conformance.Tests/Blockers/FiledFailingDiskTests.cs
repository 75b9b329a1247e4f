using Archipelago.Conformance.Tests.Harness;
using Archipelago.Filed;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>A disk that takes data into the page cache and cannot write it back: ext4 on a loop device whose file lies on a full tmpfs.</summary>
public sealed class FiledFailingDiskTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-disk-");
    private readonly string _below, _disk;

    public FiledFailingDiskTests()
    {
        (_below, _disk) = (_directory.CreateSubdirectory("below").FullName, _directory.CreateSubdirectory("disk").FullName);
        FiledTests.Run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", _below);
        string image = Path.Combine(_below, "image");
        using (var file = File.Create(image)) file.SetLength(64 << 20);
        FiledTests.Run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image);
        FiledTests.Run("mount", "-o", "loop,errors=continue", image, _disk);
    }

    public void Dispose()
    {
        FiledTests.Run("umount", _disk);
        FiledTests.Run("umount", _below);
        _directory.Delete(recursive: true);
    }

    [Fact]
    public void A_failed_sync_fails_the_flush_of_every_flow_concerned_and_no_other()
    {
        using var blocker = BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = Path.Combine(_disk, "objects") }));
        blocker.Good(XsegOp.Flush, "", flow: 0);
        byte[] data = new byte[4 << 20];
        Array.Fill(data, (byte)0x5A);
        for (int i = 0; i < 6; i++)
        {
            blocker.Write($"object{i}", 0, data, flow: 1);
            blocker.Write($"object{i}", 0, data[..512], flow: 2);
        }

        // The kernel reports once per descriptor, and then says that all is well.
        Assert.Contains(Flush(blocker, 1), (int[])[XsegErrno.EIO, XsegErrno.ENOSPC]);
        Assert.Contains(Flush(blocker, 2), (int[])[XsegErrno.EIO, XsegErrno.ENOSPC]);
        Assert.Equal(0, Flush(blocker, 3));
        // An orderly end is refused as well: whoever stops it must know. It goes on.
        Assert.Throws<ErrnoException>(blocker.StopBlocker);
        Assert.Equal(0, blocker.Status(XsegOp.Ping, ""));
        blocker.KillBlocker();
    }

    [Fact]
    public void A_failed_sync_of_a_forced_write_is_told_to_whoever_wrote_before_it()
    {
        using var blocker = BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = Path.Combine(_disk, "objects") }));
        const ulong MiB = 1 << 20;
        byte[] data = new byte[4 << 20];
        Array.Fill(data, (byte)0x5A);
        for (int i = 0; i < 6; i++) blocker.Write($"object{i}", 0, data[..4096], flow: 1);
        blocker.Good(XsegOp.Flush, "", flow: 0);
        for (int i = 0; i < 6; i++) blocker.Write($"filler{i}", 0, data, flow: 3);
        Assert.NotEqual(0, Flush(blocker, 3));
        for (int i = 0; i < 6; i++) blocker.Write($"object{i}", MiB, data[..4096], flow: 1);
        // The forced write takes the kernel's one report of what became of the data before it.
        int failed = 0;
        for (int i = 0; i < 6; i++)
            if (blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name($"object{i}"), MiB, 512) { Payload = data[..512], Flags = RequestFlags.ForceUnitAccess, Flow = 2 }).Status != 0) failed++;
        int told = Flush(blocker, 1);
        blocker.KillBlocker();
        Assert.InRange(failed, 1, 6);
        Assert.Contains(told, (int[])[XsegErrno.EIO, XsegErrno.ENOSPC]);
    }

    /// <summary>Whose data a dead filed had not made stable nobody knows, and the kernel reports the loss once.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_a_dead_predecessor_lost_is_told_to_every_flow_once(bool together)
    {
        FiledPeer Make() => new(new FiledOptions { Directory = Path.Combine(_disk, "objects") });
        using var blocker = BlockerHarness.Start(Make);
        byte[] data = new byte[4 << 20];
        Array.Fill(data, (byte)0x5A);
        for (int i = 0; i < 6; i++) blocker.Write($"object{i}", 0, data, flow: (uint)(1 + (i & 1)));
        blocker.KillBlocker();
        blocker.StartBlocker(Make());

        Ask[] flushes = [new(XsegOp.Flush, []) { Flow = 1 }, new(XsegOp.Flush, []) { Flow = 2 }];
        int[] told = together ? [.. HostThread.Wait(blocker.Issue(flushes)).Select(reply => reply.Status)] : [.. flushes.Select(flush => blocker.Do(flush).Status)];
        Assert.All(told, status => Assert.Contains(status, (int[])[XsegErrno.EIO, XsegErrno.ENOSPC]));
        Assert.NotEqual(0, Flush(blocker, 3));
        Assert.All([1u, 2u, 3u], flow => Assert.Equal(0, Flush(blocker, flow)));
        blocker.KillBlocker();
    }

    private static int Flush(BlockerHarness blocker, uint flow) => blocker.Do(new Ask(XsegOp.Flush, []) { Flow = flow }).Status;
}
