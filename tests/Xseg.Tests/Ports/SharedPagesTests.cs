using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Xunit;

namespace Archipelago.Xseg.Tests.Ports;

/// <summary>Which lent pages a slot may read: those of its flow, and those of the flow of what never changes again.</summary>
public sealed unsafe class SharedPagesTests : IDisposable
{
    private readonly TestSegment _segment = new(slots: 32, pages: 256);
    private readonly Port _cache;
    private readonly Port _client;
    private readonly uint _volume, _other, _images;

    public SharedPagesTests()
    {
        _cache = TestSegment.Bind(_segment.Join(), "cache", 100, keeps: true);
        _client = TestSegment.Bind(_segment.Join(), "client", 40);
        _volume = FlowTable.FindOrAdd(_segment.First, "volume"u8);
        _other = FlowTable.FindOrAdd(_segment.First, "images"u8);
        _images = FlowTable.FindOrAdd(_segment.First, "images"u8, FlowSpace.Shared);
    }

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void PagesOfTheSharedFlowAreEverybodysAndOthersAreNot()
    {
        Assert.True(MayRead(_volume, _volume));
        Assert.True(MayRead(_volume, _images));
        Assert.True(MayRead(_other, _images));
        Assert.False(MayRead(_volume, _other));
        Assert.False(MayRead(_images, _volume));
        // No flow at all, and one beyond the table.
        Assert.False(MayRead(_volume, 15));
        Assert.False(MayRead(_volume, 16));
        Assert.False(MayRead(_volume, ushort.MaxValue));
        _segment.First.FlowAt(_images)->Word &= ~(ulong)uint.MaxValue;
        Assert.False(MayRead(_volume, _images));
    }

    [Fact]
    public void OfTheSharedFlowTooTheGenerationMustAgree()
    {
        var page = Lend(_images);
        Assert.False(MayRead(_volume, new Extent(page.Page, page.Generation + 1)));
        Assert.True(MayRead(_volume, page));
        _cache.Limbo.Add(page.Page);
        Assert.True(MayRead(_volume, page));
        _segment.First.AdvanceEpoch();
        Assert.Equal(1, _cache.Limbo.DrainPastSlowReaders());
        Assert.False(MayRead(_volume, page));
    }

    private bool MayRead(uint reader, uint owner) => MayRead(reader, Lend(owner));

    private bool MayRead(uint reader, Extent page)
    {
        var request = _client.New(XsegOp.Read, 0, 4096, reader);
        Assert.True(request.TryData(out var data));
        Assert.True(data.Set(0, page));
        bool may = data.Readable(0) != null;
        _client.Free(request);
        return may;
    }

    private Extent Lend(uint flow)
    {
        Assert.True(_cache.Pages.TryLend(flow, out var page));
        return page;
    }
}
