using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Tests;

/// <summary>A change whose deadline has passed is under way still: nothing newer may be overtaken by it.</summary>
public sealed class OverdueTests
{
    private const int MiB = 1 << 20;
    private static readonly byte[] Old = [.. Enumerable.Repeat((byte)1, 8192)], Newer = [.. Enumerable.Repeat((byte)2, 4096)];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WhatOverlapsAnOverdueChangeIsNotSentAndHasItsErrorAtItsOwnDeadline(bool another)
    {
        await using var server = await StartAsync(100);
        using var client = RawClient.Open(server, structured: true);
        using var second = RawClient.Open(server, structured: true);
        var later = another ? second : client;
        await HoldWrites(server);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 0, 8192, payload: Old).Error);
        Assert.Equal((uint)Errno.EIO, later.Call(RawClient.Write, 4096, 4096, payload: Newer).Error);
        Assert.Equal((uint)Errno.EIO, later.Call(RawClient.Trim, 0, 512).Error);
        Assert.Equal((uint)Errno.EIO, later.Call(RawClient.WriteZeroes, 4096, MiB).Error);
        Assert.Equal((uint)Errno.EIO, later.Call(RawClient.Read, 7680, 8192).Error);
        Assert.Equal((uint)Errno.EIO, later.Call(RawClient.Flush, 0, 0).Error);
        // What does not overlap goes on.
        Assert.Equal(0u, later.Call(RawClient.Write, 8192, 4096, payload: Newer).Error);
        Assert.Equal(0u, later.Call(RawClient.Read, 8192, 4096).Error);
        Assert.Equal([XsegOp.Write, XsegOp.Write, XsegOp.Read], await server.OnReactor(() => server.Volumes.Log.Select(seen => seen.Op).Where(op => op is not (XsegOp.Open or XsegOp.Info)).ToArray()));
        await LetGo(server);
        await server.Until(() => server.Peer.Statistics!.InFlight == 0, "the outcome is known");
        Assert.Equal(0u, later.Call(RawClient.Write, 0, 4096, payload: Newer).Error);
        Assert.Equal(0u, later.Call(RawClient.Flush, 0, 0).Error);
        Assert.Equal([.. Newer, .. Old[..4096]], client.Call(RawClient.Read, 0, 8192).Data);
    }

    [Fact]
    public async Task WhoWaitsForAnOverdueChangeGoesOnAtItsOutcome()
    {
        await using var server = await StartAsync(3000);
        using var client = RawClient.Open(server);
        using var other = RawClient.Open(server);
        await HoldWrites(server);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 0, 8192, payload: Old).Error);
        client.SendRequest(RawClient.Write, 0, 4096, payload: Newer);
        byte[] large = Pattern.Random(3 * MiB, 5);
        other.SendRequest(RawClient.Write, 4096, 3 * MiB, payload: large);
        await server.Until(() => server.Peer.Statistics!.HeldUp == 2, "both wait");
        await LetGo(server);
        Assert.Equal(0u, client.Answer(RawClient.Write, 0, 4096).Error);
        Assert.Equal(0u, other.Answer(RawClient.Write, 4096, 3 * MiB).Error);
        Assert.Equal([.. Newer, .. large[..4096]], client.Call(RawClient.Read, 0, 8192).Data);
        Assert.Equal(large, client.Call(RawClient.Read, 4096, 3 * MiB).Data);
    }

    [Fact]
    public async Task AChangeOfALostClientHoldsUpWhatOverlapsItAlsoAfterItsDeadline()
    {
        await using var server = await StartAsync(100);
        await HoldWrites(server);
        using (var lost = RawClient.Open(server)) lost.SendRequest(RawClient.Write, 0, 8192, payload: Old);
        await server.Until(() => server.Volumes.Held == 1 && server.Peer.Statistics!.Expired == 1, "its deadline has passed");
        using var back = RawClient.Open(server);
        Assert.Equal((uint)Errno.EIO, back.Call(RawClient.Write, 0, 4096, payload: Newer).Error);
        Assert.Equal(0u, back.Call(RawClient.Write, 8192, 4096, payload: Newer).Error);
        await LetGo(server);
        await server.Until(() => server.Peer.Statistics!.InFlight == 0, "the outcome is known");
        Assert.Equal(0u, back.Call(RawClient.Write, 0, 4096, payload: Newer).Error);
        Assert.Equal([.. Newer, .. Old[..4096]], back.Call(RawClient.Read, 0, 8192).Data);
    }

    [Fact]
    public async Task WhatALostClientHadWaitingIsNeverSent()
    {
        await using var server = await StartAsync(3000);
        using var client = RawClient.Open(server);
        await HoldWrites(server);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 0, 8192, payload: Old).Error);
        using (var lost = RawClient.Open(server))
        {
            lost.SendRequest(RawClient.Write, 0, 4096, payload: Newer);
            lost.SendRequest(RawClient.Trim, 4096, 512);
            await server.Until(() => server.Peer.Statistics!.HeldUp == 2, "both wait");
        }

        await server.Until(() => server.Peer.Statistics!.Connections == 1, "the client is gone, and nothing of it is under way");
        await LetGo(server);
        await server.Until(() => server.Peer.Statistics!.InFlight == 0, "the outcome is known");
        Assert.Equal(Old, client.Call(RawClient.Read, 0, 8192).Data);
    }

    [Fact]
    public async Task AWaitingWriteGivesItsPagesBackAtItsDeadlineAlsoWithoutItsWholePayload()
    {
        await using var server = await StartAsync(100, NbdOptions.MinimumPages + 10);
        var free = await server.OnReactor(() => (server.Context.Port.FreeSlots, server.Context.Port.Pages.Count));
        using var client = RawClient.Open(server);
        using var other = RawClient.Open(server);
        await HoldWrites(server);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 0, 8192, payload: Old).Error);
        // Larger than the share: the second part of the payload finds no page while the first waits.
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 0, 3 * MiB, payload: new byte[3 * MiB]).Error);
        Assert.Equal(0u, other.Call(RawClient.Write, 8 * MiB, MiB, payload: new byte[MiB]).Error);
        Assert.Equal(0u, client.Call(RawClient.Read, 8 * MiB, 4096).Error);
        await LetGo(server);
        await server.Until(() => server.Peer.Statistics!.InFlight == 0, "the outcome is known");
        Assert.Equal(free, await server.OnReactor(() => (server.Context.Port.FreeSlots, server.Context.Port.Pages.Count)));
        Assert.Equal(Old, client.Call(RawClient.Read, 0, 8192).Data);
    }

    [Fact]
    public async Task AStoreThatIsLateNeverPutsAnOldWriteOverANewerOne()
    {
        var memd = new MemdPeer(new MemdOptions { Latency = TimeSpan.FromMilliseconds(500) });
        await using var server = await TestServer.StartChainAsync(memd, options => options with { RequestDeadline = TimeSpan.FromMilliseconds(100) });
        using var client = RawClient.Open(server);
        using var other = RawClient.Open(server);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 0, 8192, payload: Old).Error);
        // Only what is under way is late.
        await memd.ChangeAsync(memd.Options with { Latency = TimeSpan.Zero });
        while (other.Call(RawClient.Write, 0, 4096, payload: Newer).Error != 0)
        {
        }

        await server.Until(() => server.Peer.Statistics!.InFlight == 0, "all outcomes are known");
        Assert.Equal([.. Newer, .. Old[..4096]], other.Call(RawClient.Read, 0, 8192).Data);
    }

    private static Task<TestServer> StartAsync(int deadline, int pages = 4096) =>
        TestServer.StartAsync(options => options with { Pages = pages, RequestDeadline = TimeSpan.FromMilliseconds(deadline) }, pages: pages);

    /// <summary>Writes of 8 KiB are under way until <see cref="LetGo"/>.</summary>
    private static Task HoldWrites(TestServer server) => server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Write && seen.Length == 8192);

    private static Task LetGo(TestServer server) => server.OnReactor(() =>
    {
        server.Volumes.LetGo();
        return true;
    });
}
