using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tests.Crash;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Recovery;

/// <summary>Dead clients do not pile up in the port table.</summary>
public sealed unsafe class ReapTests : IDisposable
{
    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void ADeadTransientPortIsFreedWithAllThatItHeldAndNoOtherIs()
    {
        var server = TestSegment.Bind(_segment.Join(), "server");
        TestSegment.Bind(_segment.Join(), "living", 4, transient: true);
        Die("peer", transient: false);
        int dead = Die("client", transient: true, client => client.Ping(server.Number));

        Assert.Equal(1, Port.ReapTransients(_segment.Join()));
        Assert.Equal((uint)PortState.Free, _segment.First.PortAt(dead)->State);
        Assert.Equal(-1, PortTable.Find(_segment.First, "client"u8));
        Assert.NotEqual(-1, PortTable.Find(_segment.First, "peer"u8));
        Assert.True(PortTable.IsAlive(_segment.First, PortTable.Find(_segment.First, "living"u8)));
        server.Clients();
        Assert.False(server.TryAccept(dead, out _), "it was revoked");
        Assert.Equal(0, Fsck.Check(_segment.First).Pages.HeldBy(dead));
        Assert.Equal(0, Port.ReapTransients(_segment.First));
    }

    [Fact]
    public void OneWhoseRequestALivingPeerRunsIsLeftUntilThatHasEnded()
    {
        var server = TestSegment.Bind(_segment.Join(), "server");
        int dead = Die("client", transient: true, client => client.Ping(server.Number));
        server.Clients();
        Assert.True(server.TryAccept(dead, out var running));
        server.EndBatch(dead);

        Assert.Equal(0, Port.ReapTransients(_segment.First));
        Assert.Equal(SlotState.Running, running.Word.State);
        Assert.Equal((uint)PortState.Bound, _segment.First.PortAt(dead)->State);
        Assert.False(PortTable.IsAlive(_segment.First, dead), "its lock was given back");
        server.Reply(running, 0);
        Assert.Equal(1, Port.ReapTransients(_segment.First));
    }

    [Fact]
    public void WhatADeadTransientHadAcceptedFailsAtOnce()
    {
        var client = TestSegment.Bind(_segment.Join(), "client");
        int dead = Die("gone", transient: true, server =>
        {
            client.Ping(server.Number);
            server.Clients();
            Assert.True(server.TryAccept(client.Number, out _));
        });
        Assert.Equal(1, Port.ReapTransients(_segment.First));
        Assert.True(client.TryReceive(dead, out var failed));
        Assert.Equal(XsegErrno.ESHUTDOWN, failed.Status);
    }

    /// <summary>A damaged flag must not make a cache's port one that nobody misses.</summary>
    [Fact]
    public void APortWithDirtyPagesIsNeverReaped()
    {
        var memory = _segment.Join();
        var cache = TestSegment.Bind(memory, "cached.0", keeps: true);
        Assert.True(cache.Pages.TryTake(0, out var page));
        var entry = memory.PageAt(page.Page);
        (entry->Object, entry->Masks) = (1, new SectorMasks(255, 255, 0, 0).Packed);
        entry->Word = new PageWord(PageState.Cache, (uint)cache.Number, page.Generation).Value;
        memory.PortAt(cache.Number)->Flags |= (uint)PortFlags.Transient;
        memory.Dispose();

        Assert.Equal(0, Port.ReapTransients(_segment.First));
        Assert.Equal(1, _segment.First.DirtyPages());
        Assert.Equal((1, 1), TestSegment.Bind(_segment.Join(), "cached.0", keeps: true).Recovered is var found ? (found.PagesCached, found.PagesDirty) : default);
    }

    private sealed class Place : IDisposable
    {
        internal TestSegment Segment { get; } = new();
        internal Segment Dying { get; set; } = null!;

        public void Dispose() => Segment.Dispose();
    }

    [Fact]
    public void KilledWhileItReapsTheNextOneGoesOn() => Killing.BeforeEachStore(
        () =>
        {
            var place = new Place();
            var dead = place.Segment.Join();
            TestSegment.Bind(dead, "client", 6, transient: true).New(XsegOp.Write, 0, 8192);
            dead.Dispose();
            place.Dying = place.Segment.Join();
            return place;
        },
        place => Port.ReapTransients(place.Dying),
        (place, died) =>
        {
            place.Dying.Dispose();
            Port.ReapTransients(place.Segment.First);
            Assert.Equal(-1, PortTable.Find(place.Segment.First, "client"u8));
            // A death after the port is free may leave nothing either.
            var report = Fsck.Check(place.Segment.First);
            Assert.Empty(report.Findings.Select(finding => finding.Text));
            Assert.Equal(place.Segment.First.PageCount - 1, report.Pages[PageState.Common]);
        });

    private int Die(string name, bool transient, Action<Port>? before = null)
    {
        var memory = _segment.Join();
        var port = TestSegment.Bind(memory, name, 6, transient: transient);
        before?.Invoke(port);
        memory.Dispose();
        return port.Number;
    }
}
