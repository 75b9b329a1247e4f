using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Memory;

/// <summary>A page in limbo is free when no request can name it, and not before.</summary>
public sealed unsafe class LimboTests : IDisposable
{
    private readonly TestSegment _segment = new(slots: 32, pages: 256);
    private readonly Port _cache;
    private readonly Port _client;

    public LimboTests()
    {
        _cache = TestSegment.Bind(_segment.Join(), "cache", 100, keeps: true);
        _client = TestSegment.Bind(_segment.Join(), "client", 40);
    }

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void WithoutLiveRequestsEverythingIsFreeAtOnce()
    {
        for (int i = 0; i < 5; i++) _cache.Limbo.Add(Lend().Page);
        Assert.Equal(5, _cache.Limbo.Drain());
        Assert.Equal((0, 100), (_cache.Limbo.Count, _cache.Pages.Count));
    }

    [Fact]
    public void ASlowReaderHoldsWhatItNamesAndOnlyByTheCheapWayTheRest()
    {
        var (named, other) = (Lend(), Lend());
        var reader = Reader(named);
        _cache.Limbo.Add(named.Page);
        _cache.Limbo.Add(other.Page);
        Assert.Equal(0, _cache.Limbo.Drain());
        Assert.Equal(1, _cache.Limbo.DrainPastSlowReaders());
        Assert.True(reader.TryData(out var data) && data.Readable(0) != null);
        _client.Free(reader);
        Assert.Equal(1, _cache.Limbo.Drain());
        Assert.True(data.Readable(0) == null);
    }

    [Fact]
    public void ARequestAllocatedAfterTheRetirementHoldsNothing()
    {
        var page = Lend();
        _cache.Limbo.Add(page.Page);
        _segment.First.AdvanceEpoch();
        _client.New(XsegOp.Ping, 0, 0);
        Assert.Equal(1, _cache.Limbo.Drain());
    }

    [Fact]
    public void NeighboursThatLeaveTogetherAreGivenOutTogetherInTheSameOrder()
    {
        uint[] left = [.. Enumerable.Range(0, 8).Select(_ => Lend().Page)];
        foreach (uint page in left) _cache.Limbo.Add(page);
        Assert.Equal(8, _cache.Limbo.Drain());
        Assert.Equal(left, left.Select(_ => Lend().Page));
    }

    [Fact]
    public void MoreSlowReadersThanAFewAreLookedUpToo()
    {
        using var many = new TestSegment(slots: 128, pages: 256);
        var cache = TestSegment.Bind(many.First, "cache", 10);
        var client = TestSegment.Bind(many.Join(), "client", 10);
        for (int i = 0; i < 70; i++) client.New(XsegOp.Ping, 0, 0);
        Assert.True(cache.Pages.TryLend(1, out var page));
        cache.Limbo.Add(page.Page);
        Assert.Equal(0, cache.Limbo.Drain());
        Assert.Equal(1, cache.Limbo.DrainPastSlowReaders());
    }

    /// <summary>A client killed at great depth, that nobody succeeds: nobody reads its loans, and nobody waits for it.</summary>
    [Fact]
    public void TheDeadHoldNothingOnceTheirRequestsAreAnswered()
    {
        using var many = new TestSegment(slots: 128, pages: 256);
        var cache = TestSegment.Bind(many.First, "cache", 100);
        var memory = many.Join();
        var client = TestSegment.Bind(memory, "client", 10, transient: true);
        for (int i = 0; i < 70; i++)
        {
            var request = client.New(XsegOp.Read, 0, 4096);
            if (i < 40) client.TrySubmit(request, cache.Number);
        }

        cache.Clients();
        while (cache.TryAccept(client.Number, out var request))
        {
            Assert.True(request.TryData(out var data));
            Assert.True(cache.Pages.TryLend(1, out var page));
            data.Set(0, page);
            cache.Limbo.Add(page.Page);
            cache.Reply(request, 0);
        }

        Assert.Equal(0, cache.Limbo.DrainPastSlowReaders());
        memory.Dispose();
        Assert.Equal(40, cache.Limbo.DrainPastSlowReaders());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void RandomLoansNeverNameAFreedPageAndNoPageIsLost(int seed)
    {
        var random = new Random(seed);
        var readers = new List<(Request Request, Extent[] Loans, ulong[] Stamps)>();
        var cached = new List<Extent>();
        ulong stamp = 0;
        for (int step = 0; step < 20_000; step++)
        {
            switch (random.Next(7))
            {
                case 0 or 1:
                    if (_cache.Pages.TryLend(1, out var fresh))
                    {
                        *(ulong*)_segment.First.PageBytes(fresh.Page) = ++stamp;
                        cached.Add(fresh);
                    }

                    break;
                case 2 or 3 when cached.Count > 0 && _client.FreeSlots > 0:
                    var loans = Enumerable.Range(0, random.Next(1, 5)).Select(_ => cached[random.Next(cached.Count)]).ToArray();
                    readers.Add((Reader(loans), loans, [.. loans.Select(loan => *(ulong*)_segment.First.PageBytes(loan.Page))]));
                    break;
                case 4 when cached.Count > 0:
                    int index = random.Next(cached.Count);
                    _cache.Limbo.Retire(cached[index].Page);
                    cached.RemoveAt(index);
                    break;
                case 5 when readers.Count > 0:
                    int done = random.Next(readers.Count);
                    var (request, names, stamps) = readers[done];
                    Assert.True(request.TryData(out var data));
                    for (int i = 0; i < names.Length; i++)
                    {
                        byte* bytes = data.Readable(i);
                        Assert.True(bytes != null, $"seed {seed} step {step}: a loan was revoked");
                        Assert.Equal(stamps[i], *(ulong*)bytes);
                    }

                    _client.Free(request);
                    readers.RemoveAt(done);
                    break;
                default:
                    if (random.Next(2) == 0) _cache.Limbo.Drain();
                    else _cache.Limbo.DrainPastSlowReaders();
                    break;
            }

            Assert.Equal(100, _cache.Pages.Count + cached.Count + _cache.Limbo.Count);
        }

        foreach (var (request, _, _) in readers) _client.Free(request);
        _cache.Limbo.Drain();
        Assert.Equal(100, _cache.Pages.Count + cached.Count);
    }

    private Extent Lend()
    {
        Assert.True(_cache.Pages.TryLend(1, out var extent));
        return extent;
    }

    private Request Reader(params Extent[] loans)
    {
        var request = _client.New(XsegOp.Read, 0, (ulong)loans.Length * 4096);
        Assert.True(request.TryData(out var data));
        for (int i = 0; i < loans.Length; i++) data.Set(i, loans[i]);
        return request;
    }
}
