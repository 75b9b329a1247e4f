using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Ports;

public sealed unsafe class LinkTests : IDisposable
{
    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void ARequestGoesAroundAndItsAnswerComesBack()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        var request = client.Ping(server.Number);
        Assert.Equal(1ul << client.Number, server.Clients());
        Assert.True(server.TryAccept(client.Number, out var accepted));
        Assert.Equal(request.Slot, accepted.Slot);
        Assert.Equal("t", System.Text.Encoding.ASCII.GetString(accepted.Target));
        accepted.Serviced = 7;
        server.Reply(accepted, 5);
        server.EndBatch(client.Number);
        Assert.True(client.TryReceive(server.Number, out var answered));
        client.EndReceive(server.Number);
        Assert.Equal((request, 5, 7ul), (answered, answered.Status, answered.Serviced));
        client.Free(answered);
        Assert.False(client.TryReceive(server.Number, out _));
    }

    /// <summary>Polls as a reactor does: a batch in which there was nothing to accept is not ended.</summary>
    [Fact]
    public void ARingFullOfStaleEntriesIsEmptiedByAServerThatFindsNothingInIt()
    {
        using var server = TestSegment.Bind(_segment.Join(), "server");
        for (int life = 0; life < 5; life++)
        {
            var join = _segment.Join();
            var client = TestSegment.Bind(join, "client");
            for (int i = 0; client.TryAllocate(out var request); i++)
            {
                client.Prepare(request, XsegOp.Ping, 0, "t"u8, Hash128.Of("t"u8), 0, 0);
                if (!client.TrySubmit(request, server.Number)) Assert.True(i > 0, "the ring stays full of stale entries");
            }

            join.Dispose();
            using var fence = TestSegment.Bind(_segment.Join(), "client");
            server.Clients();
            Assert.False(server.TryAccept(fence.Number, out _));
        }
    }

    /// <summary>The client works at full depth and uses each slot again before its batch ends.</summary>
    [Fact]
    public void NoReplyIsLostAtFullDepthThoughTheClientPublishesItsHeadLate()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        int depth = 0;
        for (; client.FreeSlots > 0; depth++) client.Ping(server.Number);
        for (int round = 0; round < 5; round++)
        {
            ServeAll(server, client.Number);
            int batch = 0;
            for (; batch < depth && client.TryReceive(server.Number, out var request); batch++)
            {
                client.Free(request);
                client.Ping(server.Number);
                ServeAll(server, client.Number);
            }

            client.EndReceive(server.Number);
            Assert.Equal(depth, batch);
        }

        ServeAll(server, client.Number);
        int received = 0;
        for (; client.TryReceive(server.Number, out var request); received++) client.Free(request);
        Assert.Equal(depth, received);
    }

    [Fact]
    public void ALateReplyIsIgnoredAndCounted()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        client.Ping(server.Number);
        server.Clients();
        Assert.True(server.TryAccept(client.Number, out var accepted));
        server.Reply(accepted, 0);
        Assert.True(client.TryReceive(server.Number, out var answered));
        client.Free(answered);
        Assert.True(client.TryAllocate(out var reused));
        Assert.Equal(answered.Slot, reused.Slot);
        server.Reply(accepted, 5);
        Assert.Equal(new SlotWord(SlotState.Owned, client.Number, reused.Generation), reused.Word);
        Assert.False(client.TryReceive(server.Number, out _));
        Assert.Equal(1ul, _segment.First.PortAt(server.Number)->StaleEntries);
    }

    [Fact]
    public void ALateReleaseIsIgnoredAndCounted()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        int free = client.FreeSlots;
        Assert.True(client.TryAllocate(out var request));
        client.Free(request);
        client.Free(request);
        Assert.Equal(free, client.FreeSlots);
        Assert.True(client.TryAllocate(out var reused));
        client.Free(request);
        Assert.Equal(SlotState.Owned, reused.Word.State);
        Assert.Equal(free - 1, client.FreeSlots);
        Assert.Equal(2ul, _segment.First.PortAt(client.Number)->StaleEntries);
    }

    [Fact]
    public void ABorrowedRootOfAnotherFlowIsRefused()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        Assert.True(client.TryAllocate(out var root));
        client.Prepare(root, XsegOp.Write, 1, "t"u8, Hash128.Of("t"u8), 0, 4096);
        Assert.True(client.TryAttachPages(root, payload: true));
        Assert.True(root.TryData(out var data));
        Assert.True(client.TryAllocate(out var child));
        client.Prepare(child, XsegOp.Write, 2, "t"u8, Hash128.Of("t"u8), 0, 4096);
        client.Borrow(child, data, 0);
        Assert.False(child.TryData(out _));
        client.Prepare(child, XsegOp.Write, 1, "t"u8, Hash128.Of("t"u8), 0, 4096);
        client.Borrow(child, data, 0);
        Assert.True(child.TryData(out _));
    }

    [Fact]
    public void AnIssuersOwnSlotDamagedUnderItsHandsDoesNotThrow()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        Assert.True(client.TryAllocate(out var request));
        client.Prepare(request, XsegOp.Write, 1, "t"u8, Hash128.Of("t"u8), 0, 4096);
        request.Pointer->RootSlot = uint.MaxValue;
        Assert.True(client.TryAttachPages(request, payload: true));
        client.AttachForeign(request, 0, Extent.Zero);
        request.Pointer->Length = ulong.MaxValue;
        Assert.False(client.TryAttachPages(request, payload: true));
        client.Free(request);
    }

    private static void ServeAll(Port server, int client)
    {
        server.Clients();
        while (server.TryAccept(client, out var accepted)) server.Reply(accepted, 0);
        server.EndBatch(client);
        server.Kick();
    }
}
