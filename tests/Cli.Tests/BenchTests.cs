using Archipelago.Bench;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The bench: what it sends, what it finds.</summary>
public sealed class BenchTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(1000)]
    [InlineData(65536)]
    [InlineData(70001)]
    public void A_permutation_meets_each_number_once(int count)
    {
        var seen = new bool[count];
        var order = new Permutation(count, 42);
        for (int i = 0; i < count; i++)
        {
            Assert.False(seen[order.At(i)]);
            seen[order.At(i)] = true;
        }
    }

    [Fact]
    public void Different_keys_give_different_orders()
    {
        Permutation one = new(10_000, 1), two = new(10_000, 2);
        Assert.True(Enumerable.Range(0, 10_000).Count(i => one.At(i) == two.At(i)) < 100);
    }

    [Fact]
    public void Zipf_ranks_are_in_range_and_as_skewed_as_the_law_says()
    {
        const int Count = 1000, Draws = 200_000;
        const double Theta = 0.9;
        var ranks = new ZipfRanks(Count, Theta);
        var random = new Random(7);
        int[] hits = new int[Count];
        for (int i = 0; i < Draws; i++) hits[ranks.At(random.NextDouble())]++;
        double zeta = Enumerable.Range(1, Count).Sum(r => Math.Pow(r, -Theta));
        Assert.InRange(hits[0], 0.9 * Draws / zeta, 1.1 * Draws / zeta);
        Assert.InRange(hits[1], 0.9 * Draws / zeta / Math.Pow(2, Theta), 1.1 * Draws / zeta / Math.Pow(2, Theta));
        Assert.InRange(hits.Take(100).Sum(), 0.9 * Draws * Enumerable.Range(1, 100).Sum(r => Math.Pow(r, -Theta)) / zeta, Draws);
    }

    [Fact]
    public unsafe void Content_of_another_place_time_or_seed_is_found()
    {
        byte* page = stackalloc byte[4096];
        Content.Fill(page, 4096, 1, 3, 80, 5, full: true);
        Assert.Equal(-1, Content.FirstDifference(page, 4096, 1, 3, 80, 5, full: true));
        Assert.Equal(0, Content.FirstDifference(page, 4096, 2, 3, 80, 5, full: true));
        Assert.Equal(0, Content.FirstDifference(page, 4096, 1, 4, 80, 5, full: true));
        Assert.Equal(0, Content.FirstDifference(page, 4096, 1, 3, 88, 5, full: true));
        Assert.Equal(0, Content.FirstDifference(page, 4096, 1, 3, 80, 6, full: false));
        Assert.StartsWith("stale: generation 5", Content.Explain(page, 1, 3, 80, 6), StringComparison.Ordinal);
        Assert.StartsWith("misplaced", Content.Explain(page, 1, 3, 88, 5), StringComparison.Ordinal);
        page[1000] ^= 1;
        Assert.Equal(1000, Content.FirstDifference(page, 4096, 1, 3, 80, 5, full: true));
        Assert.Equal(-1, Content.FirstDifference(page, 4096, 1, 3, 80, 5, full: false));
    }

    [Fact]
    public void In_process_it_calls_the_peer_and_allocates_nothing()
    {
        var report = _chain.Run("bench", "--in-process", "memd", "--route", "blocks", "--op", "ping", "--total", "2G", "--warm-up", "500ms", "--assert-no-alloc", "--json").Good().Json;
        Assert.True(report.GetProperty("inProcess").GetBoolean());
        Assert.Equal((2L << 30) / 4096, report.GetProperty("requests").GetInt64());
        Assert.True(report.GetProperty("allocatedBytesPerRequest").GetDouble() < 0.001);
    }

    [Fact]
    public void Over_links_what_was_written_is_read_back_and_wrong_data_is_found()
    {
        string config = _chain.Write("c.conf", "[memd]\n[cached]\nsize = 32M\n[segment]\nspare = 4096\n");
        _chain.Start("up", "--config", config);
        string[] range = ["--objects", "4", "--verify", "full", "--keep", "--json"];
        Assert.Equal(4096, _chain.Run(["bench", "--op", "write", .. range]).Good().Json.GetProperty("requests").GetInt64());
        var read = _chain.Run(["bench", "--op", "read", "--pattern", "seq", "--block-size", "64k", "--copy-out", .. range]).Good().Json;
        Assert.Equal(16L << 20, read.GetProperty("bytes").GetInt64());
        _chain.Run(["bench", "--op", "read", "--pattern", "zipf", "--total", "8M", "--block-size", "512", .. range]).Good();
        _chain.Run(["bench", "--op", "mixed", "--total", "16M", "--block-size", "12k", "--object-size", "3M", .. range]).Good();

        var wrong = _chain.Run(["bench", "--op", "read", "--seed", "2", "--total", "1M", .. range]);
        Assert.Equal(1, wrong.Code);
        Assert.Equal(256, wrong.Json.GetProperty("mismatches").GetInt64());
        Assert.Contains("expected generation 1", wrong.Error, StringComparison.Ordinal);

        var nobody = _chain.Run("bench", "--route", "nowhere", "--timeout", "300ms");
        Assert.Equal(1, nobody.Code);
        Assert.Contains("nobody serves the route 'nowhere'", nobody.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Objects_that_a_run_made_are_deleted_and_those_that_were_there_before_are_not()
    {
        string objects = Path.Combine(_chain.State, "objects/objects");
        int Count() => Directory.EnumerateFiles(objects, "bench.*", SearchOption.AllDirectories).Count();
        _chain.Start("up", "--config", _chain.Write("c.conf", "[filed]\n[cached]\nsize = 32M\n[segment]\nspare = 4096\n"));
        _chain.Run("bench", "--op", "write", "--objects", "2", "--total", "1M").Good();
        Assert.Equal(0, Count());
        var kept = _chain.Run("bench", "--op", "write", "--objects", "2", "--total", "1M", "--keep", "--json").Good().Json;
        Assert.Equal("rand", kept.GetProperty("pattern").GetString());
        Assert.Equal(2, Count());
        _chain.Run("bench", "--op", "mixed", "--objects", "4", "--total", "4M").Good();
        Assert.Equal(2, Count());
        _chain.Run("down").Good();
    }

    [Fact]
    public void A_volume_is_not_overwritten_unless_that_is_said()
    {
        _chain.Start(["up", .. Chain.Small]);
        foreach (string op in new[] { "write", "mixed" })
        {
            var refused = _chain.Run("bench", "--volume", "demo", "--op", op, "--total", "1M");
            Assert.Equal(2, refused.Code);
            Assert.Contains("--overwrite-data", refused.Error, StringComparison.Ordinal);
        }

        _chain.Run("bench", "--volume", "demo", "--op", "read", "--generation", "0", "--verify", "full").Good();
        _chain.Run("bench", "--volume", "demo", "--op", "write", "--total", "1M", "--overwrite-data").Good();
        _chain.Run("down").Good();
    }
}
