using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tables;
using Xunit;

namespace Archipelago.Xseg.Tests.Ports;

/// <summary>Routes are made by the peers' start: damage of their table lasts no longer than until then.</summary>
public sealed unsafe class DamagedRoutesTests : IDisposable
{
    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(255)]
    [InlineData(-1)]
    public void ADamagedTableHasRoomForTheRoutesOfAStart(int filler)
    {
        var segment = _segment.First;
        for (int route = 0; route < 8; route++) RouteTable.Set(segment, "route"u8, 0, 1);
        Fill(filler);
        Assert.False(RouteTable.TryFind(segment, "blocks"u8, out _, out _));
        Assert.Equal(filler != 0, Fsck.Check(segment).Findings.Any(finding => finding.Kind == FsckKind.DamagedTable));
        Assert.Equal(filler == 0 ? 0 : 8, RouteTable.Set(segment, "blocks"u8, 2, 1));
        Assert.Equal(0, RouteTable.Set(segment, "cache"u8, 3, 2));
        Assert.True(RouteTable.TryFind(segment, "blocks"u8, out int port, out int shards));
        Assert.Equal((2, 1), (port, shards));
        Assert.True(RouteTable.TryFind(segment, "cache"u8, out port, out shards));
        Assert.Equal((3, 2), (port, shards));
        Assert.Empty(Fsck.Check(segment).Findings);
    }

    [Fact]
    public void FsckDropsRoutesThatMakeNoSense()
    {
        Fill(-1);
        Assert.All(Fsck.Check(_segment.First).Findings, finding => Assert.True(finding.IsRepairable));
        Assert.Empty(Fsck.Repair(_segment.First).Findings);
    }

    /// <summary>A name that was damaged looks like another's route, and nobody will ever look for it.</summary>
    [Fact]
    public void InAFullTableARouteToAPortThatNobodyHasGivesWayAndOthersDoNot()
    {
        using var peer = TestSegment.Bind(_segment.Join(), "peer");
        for (byte route = 0; route < 7; route++) RouteTable.Set(_segment.First, [(byte)'a', route], peer.Number, 1);
        RouteTable.Set(_segment.First, "gone"u8, 5, 1);
        Assert.Equal(1, RouteTable.Set(_segment.First, "new"u8, peer.Number, 1));
        Assert.False(RouteTable.TryFind(_segment.First, "gone"u8, out _, out _));
        Assert.Equal(XsegErrno.ENOSPC, Assert.Throws<XsegException>(() => RouteTable.Set(_segment.First, "more"u8, peer.Number, 1)).Errno);
    }

    private void Fill(int filler)
    {
        var random = new Random(1);
        for (int route = 0; route < 8; route++)
        {
            var bytes = new Span<byte>(_segment.First.RouteAt(route), RouteEntry.Size);
            if (filler < 0) random.NextBytes(bytes);
            else bytes.Fill((byte)filler);
        }
    }
}
