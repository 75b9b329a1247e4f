using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Memory;

public sealed unsafe class PoolTests : IDisposable
{
    private readonly TestSegment _segment = new(ports: 4, slots: 32, pages: 256);

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void ARequestGetsNeighbouringPagesAndTheNextOneTheSame()
    {
        var port = TestSegment.Bind(_segment.First, "a", 90);
        for (int use = 0; use < 3; use++)
        {
            var request = port.New(XsegOp.Write, 0, 20 * 4096);
            Assert.True(port.TryAttachPages(request, payload: true));
            Assert.True(request.TryData(out var data));
            uint first = data.Get(0).Page;
            for (int i = 1; i < 20; i++) Assert.Equal(first + (uint)i, data.Get(i).Page);
            port.Free(request);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void RandomRequestsOfTwoPortsNeverShareAPageAndGiveAllBack(int seed)
    {
        var random = new Random(seed);
        Port[] ports = [TestSegment.Bind(_segment.Join(), "a", 90), TestSegment.Bind(_segment.Join(), "b", 90)];
        var live = new List<(int Port, Request Request, int Pages)>();
        var owner = new Dictionary<uint, uint>();
        int[] used = [0, 0], slots = [ports[0].FreeSlots, ports[1].FreeSlots];
        for (int step = 0; step < 20_000; step++)
        {
            int at = random.Next(2);
            if (random.Next(2) == 0 && ports[at].TryAllocate(out var request))
            {
                int pages = random.Next(1, 60);
                ports[at].Prepare(request, XsegOp.Write, 1, "t"u8, Hash128.Of("t"u8), 0, (ulong)pages * 4096);
                int needed = pages + (pages > RequestSlot.InlineExtents ? 1 : 0);
                bool attached = ports[at].TryAttachPages(request, payload: true);
                Assert.Equal(needed <= 90 - used[at], attached);
                if (!attached)
                {
                    ports[at].Free(request);
                    continue;
                }

                Assert.True(request.TryData(out var data));
                Assert.True(data.HasPages);
                for (int i = 0; i < pages; i++)
                {
                    Assert.True(data.Owned(i, out var extent) != null);
                    Assert.True(owner.TryAdd(extent.Page, request.Slot), $"seed {seed} step {step}: page {extent.Page} is used twice");
                }

                used[at] += needed;
                live.Add((at, request, needed));
            }
            else if (live.Count > 0)
            {
                int index = random.Next(live.Count);
                var (port, done, pages) = live[index];
                foreach (uint page in owner.Where(pair => pair.Value == done.Slot).Select(pair => pair.Key).ToList()) owner.Remove(page);
                ports[port].Free(done);
                used[port] -= pages;
                live.RemoveAt(index);
            }

            Assert.Equal((90 - used[0], 90 - used[1]), (ports[0].Pages.Count, ports[1].Pages.Count));
        }

        Assert.True(Fsck.Check(_segment.First).IsClean);
        foreach (var (port, request, _) in live) ports[port].Free(request);
        Assert.Equal((slots[0], slots[1], 90, 90), (ports[0].FreeSlots, ports[1].FreeSlots, ports[0].Pages.Count, ports[1].Pages.Count));
    }

    [Fact]
    public void SlotsRunOutAndComeBackWithHigherGenerations()
    {
        var port = TestSegment.Bind(_segment.Join(), "a");
        var all = new List<Request>();
        while (port.TryAllocate(out var request)) all.Add(request);
        Assert.Equal(all.Count, all.Select(request => request.Slot).Distinct().Count());
        Assert.Equal(0, port.FreeSlots);
        port.Free(all[3]);
        Assert.True(port.TryAllocate(out var again));
        Assert.Equal((all[3].Slot, all[3].Generation + 1), (again.Slot, again.Generation));
    }

    [Fact]
    public void ASharesSizeFollowsWhatEachLifeAsksFor()
    {
        foreach (int pages in new[] { 50, 20, 120, 0, 255 })
        {
            using var port = TestSegment.Bind(_segment.Join(), "a", pages);
            Assert.Equal(pages, port.Pages.Count);
            Assert.Equal(255 - pages, Fsck.Check(_segment.First).Pages[PageState.Common]);
        }

        Assert.Equal(255, Fsck.Check(_segment.First).Pages[PageState.Common]);
    }

    /// <summary>4 MiB that start inside a page: the most that a request carries, over two indirect lists.</summary>
    [Fact]
    public void TheLargestRequestFits()
    {
        using var large = new TestSegment(ports: 2, slots: 16, pages: 1200);
        var port = TestSegment.Bind(large.First, "a", 1100);
        var request = port.New(XsegOp.Write, 512, 4 << 20);
        Assert.True(port.TryAttachPages(request, payload: true));
        Assert.True(request.TryData(out var data));
        Assert.Equal(1025, data.Count);
        Assert.True(data.HasPages);
        Assert.Equal(1025, Enumerable.Range(0, 1025).Select(i => data.Get(i).Page).Distinct().Count());
        Assert.Equal(1100 - 1025 - 2, port.Pages.Count);
        port.Free(request);
        Assert.Equal(1100, port.Pages.Count);
    }
}
