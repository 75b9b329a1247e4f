using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Recovery;

/// <summary>Who dies with what, and what becomes of it: no request is replayed while an earlier execution can still take effect.</summary>
public sealed unsafe class FenceTests : IDisposable
{
    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void AQueuedRequestOfADeadIssuerIsRevokedAndNeverRuns()
    {
        var (server, _) = Bind("server");
        var (client, memory) = Bind("client");
        client.Ping(server.Number);
        client.Ping(server.Number);
        memory.Dispose();
        var (next, _) = Bind("client");
        Assert.Equal((2, 0), (next.Recovered.Revoked, next.Recovered.Awaited));
        Assert.True(next.Recovered.HadPredecessor);
        server.Clients();
        Assert.False(server.TryAccept(next.Number, out _));
        Assert.Equal(2ul, _segment.First.PortAt(server.Number)->StaleEntries);
        RoundTrip(next, server);
    }

    /// <summary>Nobody else ever frees them: the successor would have no slots, and wait for one for ever.</summary>
    [Theory]
    [InlineData(byte.MaxValue, true)]
    [InlineData((byte)0xA5, true)]
    [InlineData(byte.MaxValue, false)]
    public void DamagedSlotsOfThePortAreResetAndCountedAlsoAboveTheHighWaterMark(byte filler, bool diedWithIt)
    {
        var (server, _) = Bind("server");
        int number = 1;
        if (diedWithIt)
        {
            var (client, memory) = Bind("client");
            number = client.Number;
            client.Ping(server.Number);
            memory.Dispose();
        }

        new Span<byte>(_segment.First.SlotAt((uint)number << _segment.First.SlotShift), _segment.First.SlotsPerPort * RequestSlot.Size).Fill(filler);
        var (next, _) = Bind("client");
        Assert.Equal((number, 16), (next.Number, next.Recovered.SlotsReset));
        Assert.Equal(14, next.FreeSlots);
        Assert.Equal(diedWithIt, next.Recovered.ToString().Contains("16 DAMAGED slots reset"));
        for (int i = 0; i < 14; i++) RoundTrip(next, server);
        next.Dispose();
    }

    [Fact]
    public void ARunningRequestOfADeadIssuerIsWaitedFor()
    {
        var (server, _) = Bind("server");
        var (client, memory) = Bind("client");
        client.Ping(server.Number);
        var running = Accept(server, client.Number);
        memory.Dispose();

        using var answered = new ManualResetEventSlim();
        bool early = false;
        Port? next = null;
        var binder = new Thread(() =>
        {
            next = TestSegment.Bind(_segment.Join(), "client", timeout: 60_000);
            early = !answered.IsSet;
        });
        binder.Start();
        // The successor is at it once it holds the port's lock; only then the answer is given.
        SpinWait.SpinUntil(() => PortTable.IsAlive(_segment.First, client.Number));
        answered.Set();
        server.Reply(running, 0);
        binder.Join();
        Assert.False(early);
        Assert.Equal(SlotState.Free, running.Word.State);
        RoundTrip(next!, server);
    }

    [Fact]
    public void AHungHolderMakesTheSuccessorGiveUpAndNothingIsTaken()
    {
        var (server, _) = Bind("server");
        var (client, memory) = Bind("client");
        client.Ping(server.Number);
        var running = Accept(server, client.Number);
        memory.Dispose();
        var failure = Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), "client", timeout: 20));
        Assert.Equal(XsegErrno.EBUSY, failure.Errno);
        Assert.Contains("server", failure.Message);
        Assert.Equal(new SlotWord(SlotState.Running, server.Number, running.Generation), running.Word);
        Assert.False(PortTable.IsAlive(_segment.First, client.Number));
        server.Reply(running, 0);
        RoundTrip(Bind("client").Port, server);
    }

    [Fact]
    public void WhatADeadHolderHadAcceptedIsReplayedInTheOldOrderOverTwoDeaths()
    {
        var (client, _) = Bind("client");
        var (server, memory) = Bind("server");
        var sent = Enumerable.Range(0, 3).Select(_ => client.Ping(server.Number).Slot).ToList();
        for (int i = 0; i < 3; i++) Accept(server, client.Number);
        memory.Dispose();

        (server, memory) = Bind("server");
        Assert.Equal(sent, server.Recovered.Replays.Select(replay => replay.Slot));
        // One is answered, two new ones come: they are younger than the old ones in the next life too.
        Assert.True(server.TryReplay(out var first));
        server.Reply(first, 0);
        Assert.True(server.TryReplay(out _));
        Assert.True(server.TryReplay(out _));
        Assert.False(server.TryReplay(out _));
        sent.RemoveAt(0);
        for (int i = 0; i < 2; i++) sent.Add(client.Ping(server.Number).Slot);
        for (int i = 0; i < 2; i++) Accept(server, client.Number);
        memory.Dispose();

        (server, _) = Bind("server");
        Assert.Equal(sent, server.Recovered.Replays.Select(replay => replay.Slot));
    }

    /// <summary>The holder died after it had accepted, before it could say in which order: that one was accepted last.</summary>
    [Fact]
    public void TheLastAcceptedIsReplayedLast()
    {
        var (client, _) = Bind("client");
        var (server, memory) = Bind("server");
        for (int i = 0; i < 3; i++) RoundTrip(client, server);
        uint first = client.Ping(server.Number).Slot, second = client.Ping(server.Number).Slot;
        Accept(server, client.Number);
        CrashPoint.Arm(1);
        Assert.Throws<CrashException>(() => server.TryAccept(client.Number, out _));
        CrashPoint.Disarm();
        memory.Dispose();
        Assert.Equal([first, second], Bind("server").Port.Recovered.Replays.Select(replay => replay.Slot));
    }

    [Fact]
    public void ARequestWhoseThirdHolderDiesFailsWithEioAndIsNamed()
    {
        var (client, _) = Bind("client");
        var (server, memory) = Bind("server");
        client.Ping(server.Number);
        Accept(server, client.Number);
        for (int death = 1; death <= 2; death++)
        {
            memory.Dispose();
            (server, memory) = Bind("server");
            Assert.Empty(server.Recovered.Kept);
            Assert.True(server.TryReplay(out var replayed));
            Assert.Equal(death, replayed.Attempts);
        }

        memory.Dispose();
        (server, _) = Bind("server");
        Assert.Empty(server.Recovered.Replays);
        Assert.Contains("Ping", Assert.Single(server.Recovered.Kept));
        Assert.True(client.TryReceive(server.Number, out var failed));
        Assert.Equal(XsegErrno.EIO, failed.Status);
        client.Free(failed);
        RoundTrip(client, server);
    }

    /// <summary>A recoverer that dies before it hands anything out did the request no harm.</summary>
    [Fact]
    public void DeathsOfRecoverersAreNotCountedAsTheRequests()
    {
        var (client, _) = Bind("client");
        var (server, memory) = Bind("server");
        client.Ping(server.Number);
        Accept(server, client.Number);
        memory.Dispose();
        for (int death = 0; death < 5; death++)
        {
            memory = _segment.Join();
            CrashPoint.Arm(3);
            Assert.Throws<CrashException>(() => TestSegment.Bind(memory, "server"));
            CrashPoint.Disarm();
            memory.Dispose();
        }

        for (int death = 0; death < 5; death++) Bind("server").Memory.Dispose();
        (server, _) = Bind("server");
        Assert.True(server.TryReplay(out var replayed));
        Assert.Equal(1, replayed.Attempts);
    }

    [Fact]
    public void AReplyWhoseAnnouncementDiedIsAnnouncedOnce()
    {
        var (client, _) = Bind("client");
        var (server, memory) = Bind("server");
        int depth = 0;
        for (; client.FreeSlots > 0; depth++) client.Ping(server.Number);
        for (int i = 0; i < depth - 1; i++) server.Reply(Accept(server, client.Number), 0);
        var last = Accept(server, client.Number);
        CrashPoint.Arm(2);
        Assert.Throws<CrashException>(() => server.Reply(last, 0));
        CrashPoint.Disarm();
        Assert.Equal(SlotState.Replied, last.Word.State);
        memory.Dispose();

        // The client is asleep, and nothing but the successor will wake it.
        client.PrepareToSleep();
        (server, _) = Bind("server");
        Assert.Equal(0u, _segment.First.PortAt(client.Number)->Sleeping);
        int received = 0;
        for (; client.TryReceive(server.Number, out var request); received++) client.Free(request);
        Assert.Equal(depth, received);
        Assert.Equal(0ul, _segment.First.PortAt(client.Number)->StaleEntries);
    }

    /// <summary>client → middle → back; the middle one dies, then the back one or not, in every order of successors.</summary>
    [Theory]
    [InlineData("m", "m")]
    [InlineData("b", "b")]
    [InlineData("mb", "mb")]
    [InlineData("mb", "bm")]
    [InlineData("cm", "cm")]
    [InlineData("cm", "mc")]
    [InlineData("cb", "bc")]
    [InlineData("cmb", "cmb")]
    [InlineData("cmb", "cbm")]
    [InlineData("cmb", "mcb")]
    [InlineData("cmb", "mbc")]
    [InlineData("cmb", "bcm")]
    [InlineData("cmb", "bmc")]
    public void AChainOfDeadPeersIsTakenOverInEveryOrder(string dead, string successors)
    {
        var peers = new Dictionary<char, (Port Port, Segment Memory)> { ['c'] = Bind("c"), ['m'] = Bind("m"), ['b'] = Bind("b") };
        var root = peers['c'].Port.New(XsegOp.Write, 0, 8192);
        Assert.True(peers['c'].Port.TryAttachPages(root, payload: true));
        Assert.True(peers['c'].Port.TrySubmit(root, peers['m'].Port.Number));
        var held = Accept(peers['m'].Port, peers['c'].Port.Number);
        Assert.True(held.TryData(out var data));
        for (int i = 0; i < 2; i++)
        {
            var child = peers['m'].Port.New(XsegOp.Write, 0, 4096);
            peers['m'].Port.SetParent(child, held);
            peers['m'].Port.Borrow(child, data, i);
            Assert.True(peers['m'].Port.TrySubmit(child, peers['b'].Port.Number));
        }

        // One child runs, the other is queued.
        var running = Accept(peers['b'].Port, peers['m'].Port.Number);
        Assert.True(running.TryData(out _));
        foreach (char peer in dead) peers[peer].Memory.Dispose();
        foreach (char peer in successors)
        {
            // A living holder of what the dead one had issued must answer first.
            if (peer != 'b' && dead.Contains('m') && !dead.Contains('b') && running.Word.State == SlotState.Running) peers['b'].Port.Reply(running, 0);
            if (peer == 'm' && dead.Contains('b') && successors.IndexOf('b') < successors.IndexOf('m')) Serve(peers['b'].Port, 'm', peers);
            if (peer == 'c' && !dead.Contains('m')) peers['m'].Port.Reply(held, 0);
            if (peer == 'c' && dead.Contains('m') && successors.IndexOf('m') < successors.IndexOf('c')) Serve(peers['m'].Port, 'c', peers);
            peers[peer] = Bind(peer.ToString());
        }

        Serve(peers['b'].Port, 'm', peers);
        if (!dead.Contains('m') && !dead.Contains('c')) peers['m'].Port.Reply(held, 0);
        Serve(peers['m'].Port, 'c', peers);
        while (peers['m'].Port.Servers != 0 && peers['m'].Port.TryReceive(peers['b'].Port.Number, out var done)) peers['m'].Port.Free(done);
        while (peers['c'].Port.Servers != 0 && peers['c'].Port.TryReceive(peers['m'].Port.Number, out var done)) peers['c'].Port.Free(done);
        RoundTrip(peers['c'].Port, peers['m'].Port);
        RoundTrip(peers['m'].Port, peers['b'].Port);
        var report = Fsck.Check(_segment.First);
        Assert.Empty(report.Findings.Where(finding => finding.Kind != FsckKind.Counters).Select(finding => finding.Text));
        Assert.Equal(0, report.SlotsInUse);
        foreach (var (port, _) in peers.Values) Assert.Equal(16, report.Pages.HeldBy(port.Number));
    }

    /// <summary>The dead client is not succeeded, its number is used by another peer: that one must not run what was meant for the dead.</summary>
    [Fact]
    public void ANewPeerUnderADeadTransientsNumberIsNotHandedItsRequests()
    {
        var (client, _) = Bind("client");
        for (int i = 0; i < 4; i++) Bind("other" + i);
        var memory = _segment.Join();
        var server = TestSegment.Bind(memory, "gone", transient: true);
        client.Ping(server.Number);
        Accept(server, client.Number);
        memory.Dispose();
        var (next, _) = Bind("new");
        Assert.Equal(server.Number, next.Number);
        Assert.False(next.TryReplay(out _));
        Assert.True(client.TryReceive(next.Number, out var failed));
        Assert.Equal(XsegErrno.ESHUTDOWN, failed.Status);
    }

    [Fact]
    public void ANameBoundByALivingProcessIsRefused()
    {
        Bind("peer");
        Assert.Equal(XsegErrno.EBUSY, Assert.Throws<XsegException>(() => Bind("peer")).Errno);
    }

    [Fact]
    public void AShareThatCannotBeHadIsRefusedAndTheNameIsNotKept()
    {
        Assert.Equal(XsegErrno.ENOMEM, Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), "peer", 100_000)).Errno);
        var report = Fsck.Check(_segment.First);
        Assert.Empty(report.Findings);
        Assert.Equal(_segment.First.PageCount - 1, report.Pages[PageState.Common]);
        Assert.Equal(-1, PortTable.Find(_segment.First, "peer"u8));
    }

    [Fact]
    public void AnOrderlyEndIsNotReportedAsADeath()
    {
        Bind("peer").Port.Dispose();
        var (next, _) = Bind("peer");
        Assert.False(next.Recovered.HadPredecessor);
        Assert.Equal(2u, next.Life);
    }

    private void Serve(Port server, char client, Dictionary<char, (Port Port, Segment Memory)> peers)
    {
        while (server.TryReplay(out var replayed)) server.Reply(replayed, 0);
        server.Clients();
        while (server.TryAccept(peers[client].Port.Number, out var accepted)) server.Reply(accepted, 0);
    }

    private (Port Port, Segment Memory) Bind(string name)
    {
        var memory = _segment.Join();
        return (TestSegment.Bind(memory, name), memory);
    }

    private static Request Accept(Port server, int client)
    {
        server.Clients();
        Assert.True(server.TryAccept(client, out var request));
        server.EndBatch(client);
        return request;
    }

    private static void RoundTrip(Port client, Port server)
    {
        client.Ping(server.Number);
        server.Reply(Accept(server, client.Number), 0);
        Assert.True(client.TryReceive(server.Number, out var request));
        client.Free(request);
    }
}
