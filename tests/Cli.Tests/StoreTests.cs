using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>What is cached belongs to the store that it came from, or is to go to.</summary>
public sealed class StoreTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void Dirty_pages_of_one_store_are_not_taken_over_for_another()
    {
        const string Cache = "[cached]\nsize = 16M\n[segment]\nspare = 2048\n";
        string failing = _chain.Write("failing.conf", "[memd]\nerrors = write:EIO\nstable = no\n" + Cache);
        string mended = _chain.Write("mended.conf", "[memd]\n" + Cache);
        string other = _chain.Write("other.conf", "[filed]\n" + Cache);
        var up = _chain.Start("up", "--config", failing);
        _chain.Run("bench", "--op", "write", "--objects", "1", "--total", "64k", "--depth", "16");
        long dirty = Dirty();
        Assert.True(dirty > 0);
        Chain.Signal(up, Chain.SigKill);
        up.WaitForExit();

        foreach (string command in (string[])["up", "run"])
        {
            var refused = _chain.Run([command, .. command == "run" ? (string[])["filed"] : [], "--config", other]);
            Assert.Equal(1, refused.Code);
            Assert.Contains("EBUSY", refused.Error, StringComparison.Ordinal);
            Assert.Contains("memd", refused.Error, StringComparison.Ordinal);
            Assert.Contains($"filed {_chain.State}/objects", refused.Error, StringComparison.Ordinal);
            Assert.Contains($"{dirty} of them dirty", refused.Error, StringComparison.Ordinal);
            Assert.Contains("segment destroy", refused.Error, StringComparison.Ordinal);
        }

        Assert.Equal(dirty, Dirty());
        Assert.DoesNotContain("filed", _chain.Run("segment", "ports").Good().Output, StringComparison.Ordinal);
        Assert.False(Directory.Exists($"{_chain.State}/objects"), "nothing was started");

        _chain.Start("up", "--config", mended);
        _chain.Run("down").Good();
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
        _chain.Start("up", "--config", other);
        _chain.Run("down").Good();
    }

    [Fact]
    public void A_kept_cache_is_not_served_for_another_directory_but_through_a_link_to_its_own()
    {
        string[] at(string directory) => ["up", .. Chain.Small, "--set", $"filed.directory={directory}"];
        string first = Path.Combine(_chain.Root, "first"), link = Path.Combine(_chain.Root, "link");
        _chain.Start(at(first));
        _chain.Fio("demo", "--rw=write").Good();
        _chain.Run("down", "--keep-segment").Good();

        var refused = _chain.Run(at(Path.Combine(_chain.Root, "second")));
        Assert.Equal(1, refused.Code);
        Assert.Contains("0 of them dirty", refused.Error, StringComparison.Ordinal);
        Assert.Contains($"filed {first}", refused.Error, StringComparison.Ordinal);
        Assert.Equal(1, _chain.Run([.. at(first), "--set", "filed.serves=b", "--set", "cached.blocks=b", "--set", "mapperd.blocks=b"]).Code);

        File.CreateSymbolicLink(link, first);
        _chain.Start(at(link));
        _chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
        _chain.Run("down", "--keep-segment").Good();
        _chain.Run("segment", "destroy").Good();
        Assert.False(File.Exists(Path.Combine(_chain.Segment, "store")), "its record goes with the segment");
        _chain.Start(at(Path.Combine(_chain.Root, "second")));
        _chain.Run("down").Good();
    }

    [Fact]
    public void Garbage_in_the_record_of_the_store_ends_nothing()
    {
        _chain.Start(["up", .. Chain.Small]);
        _chain.Run("down", "--keep-segment").Good();
        File.WriteAllBytes(Path.Combine(_chain.Segment, "store"), [0xff, 0, 10, 10, 9, 9, 0xc3]);
        _chain.Start(["up", .. Chain.Small]);
        _chain.Run("down").Good();
    }

    private long Dirty() => _chain.Run("segment", "info", "--json").Good().Json.GetProperty("dirtyPages").GetInt64();
}
