using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Damage of a dead `up`'s segment costs no acknowledged data, and is never passed over in silence.</summary>
public sealed class DamageTests : IDisposable
{
    private static readonly string[] WriteBack = [.. Chain.Small, "--set", "cached.policy=writeback", "--set", "cached.dirty-age=10m", "--set", "nbd.pages=1024"];
    private readonly Chain _chain = new();

    private string SegmentFile => Path.Combine(_chain.Segment, "segment");

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData(0u)]
    [InlineData(7u)]
    public void A_damaged_state_is_taken_over_with_a_log_line_and_all_dirty_data(uint state)
    {
        DieDirty();
        Overwrite(256, BitConverter.GetBytes(state));
        _chain.Start(["up", .. WriteBack]);
        _chain.WaitForLog("state was damaged");
        _chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
    }

    [Fact]
    public void A_damaged_port_table_is_refused_the_segment_stays_and_fsck_repairs_it()
    {
        DieDirty();
        byte[] noise = new byte[16 * 320];
        new Random(1).NextBytes(noise);
        Overwrite(4096, noise);
        var refused = _chain.Run(["up", .. WriteBack]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("EUCLEAN", refused.Error, StringComparison.Ordinal);
        Assert.Contains("segment fsck", refused.Error, StringComparison.Ordinal);
        Assert.True(File.Exists(SegmentFile));
        _chain.Run("segment", "fsck", "--repair");
        _chain.Start(["up", .. WriteBack]);
        _chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
    }

    [Fact]
    public void Without_its_lock_file_a_living_ups_segment_is_neither_taken_over_nor_removed()
    {
        _chain.Start(["up", .. WriteBack]);
        File.Delete(Path.Combine(_chain.Segment, "locks"));
        // Another state directory: that of the living one is refused by its own lock.
        foreach (string[] command in (string[][])[
            ["run", "memd", "--state", Path.Combine(_chain.Root, "t"), "--set", $"segment.directory={_chain.Segment}"],
            ["segment", "destroy", "--discard-dirty"], ["segment", "fsck", "--repair"]])
        {
            var refused = _chain.Run(command);
            Assert.Equal(1, refused.Code);
            Assert.Contains("EBUSY", refused.Error, StringComparison.Ordinal);
            Assert.Contains("locks", refused.Error, StringComparison.Ordinal);
        }

        Assert.True(File.Exists(SegmentFile));
        _chain.Fio("demo", "--rw=randrw").Good();
    }

    [Fact]
    public void Without_its_lock_file_a_dead_ups_segment_is_refused_at_once_and_kept_and_fsck_repairs_it()
    {
        DieDirty();
        File.Delete(Path.Combine(_chain.Segment, "locks"));
        var refused = _chain.Run(["up", .. WriteBack]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("EUCLEAN", refused.Error, StringComparison.Ordinal);
        Assert.Contains("segment fsck --repair", refused.Error, StringComparison.Ordinal);
        _chain.Run("segment", "fsck", "--repair");
        _chain.Start(["up", .. WriteBack]);
        _chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
    }

    private void DieDirty()
    {
        var up = _chain.Start(["up", .. WriteBack]);
        _chain.Fio("demo", "--rw=write", "--do_verify=0").Good();
        Chain.Signal(up, Chain.SigKill);
        up.WaitForExit();
    }

    private void Overwrite(long offset, byte[] bytes)
    {
        using var file = File.OpenWrite(SegmentFile);
        file.Position = offset;
        file.Write(bytes);
    }
}
